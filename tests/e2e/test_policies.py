"""A model's policy at work: overflow above its threshold, failover, and pools that are gone."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bench.servers.forebay import UNLIMITED
from tests.e2e.ask import body, eventually
from tests.e2e.broke_service import BrokeService, broke_service
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.front_ends.grpc import Grpc
from tests.e2e.test_engines_come_and_go import do
from tests.e2e.test_limits import new_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
ANSWER_S = 0.4  # of the first pool's engine, which has one slot
THRESHOLD_MS = 700
SLOW = {"tokens": 1, "delay_ms": ANSWER_S * 1000}


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("near"))
    yield mock
    mock.child.stop()


def at(mock: Mock) -> str:
    return f"kind='openai', url='http://127.0.0.1:{mock.port}/v1'"


@pytest.fixture
def hybrid(staged: Platform, near: Mock, mock: Mock) -> Iterator[Platform]:
    """A model with a pool of one slot, one for overflow and one for failover."""
    do(
        staged,
        "model = Model.add('hybrid', by='test')\n"
        "near = Pool.add(model, 'hy-near', by='test')\n"
        "over = Pool.add(model, 'hy-over', condition='overflow', "
        f"overflow_after_ms={THRESHOLD_MS}, by='test')\n"
        "spare = Pool.add(model, 'hy-spare', condition='failover', by='test')\n"
        f"Engine.add(near, 'hy-near', {at(near)}, slots=1, by='test')\n"
        f"for pool in (over, spare): Engine.add(pool, pool.name, {at(mock)}, slots=8, by='test')",
    )
    near.behave(**SLOW)
    eventually(lambda: served_by(staged, "hybrid") == "hy-near", 30)
    yield staged
    do(staged, "Model.objects.filter(name='hybrid').first().remove(by='test')")


def served_by(platform: Platform, model: str, **headers: str) -> str:
    answer = ask(platform, model, **headers)
    return pool_of(answer) if answer.is_success else ""


def ask(platform: Platform, model: str, **headers: str) -> httpx.Response:
    headers |= {"Authorization": f"Bearer {platform.key}"}
    message = {**body(max_tokens=1), "model": model}
    url = f"{platform.url}/v1/chat/completions"
    return httpx.post(url, json=message, headers=headers, timeout=60)


def pool_of(answer: httpx.Response) -> str:
    return answer.headers["x-forebay-upstream"].partition("/")[0]


class Crowd:
    """Requests for the model that wait side by side."""

    def __init__(self, platform: Platform) -> None:
        headers = {"Authorization": f"Bearer {new_key(platform, *UNLIMITED)}"}
        self._client = httpx.AsyncClient(
            base_url=platform.url,
            headers=headers,
            timeout=60,
            limits=httpx.Limits(max_connections=100),
        )
        self.asked: list[asyncio.Task[httpx.Response]] = []

    async def ask(self, times: int) -> list[asyncio.Task[httpx.Response]]:
        message = {**body(max_tokens=1), "model": "hybrid"}
        for _ in range(times):
            asking = self._client.post("/v1/chat/completions", json=message)
            self.asked.append(asyncio.create_task(asking))
        return self.asked[-times:]

    async def answered(self, times: int) -> None:
        while sum(asked.done() for asked in self.asked) < times:
            await asyncio.sleep(0.02)

    async def answers(self) -> list[httpx.Response]:
        answers = await asyncio.gather(*self.asked)
        await self._client.aclose()
        return answers


async def test_overflow_begins_above_the_threshold_and_ends_below(hybrid: Platform) -> None:
    crowd = Crowd(hybrid)
    await crowd.ask(12)
    await crowd.answered(3)
    await crowd.ask(1)  # with it the web process hears how fast they go
    await crowd.answered(4)
    late = await crowd.ask(3)
    answers = await crowd.answers()
    assert {answer.status_code for answer in answers} == {200}
    assert {pool_of(asked.result()) for asked in late} == {"hy-over"}, "eight waited before them"
    served = Counter(map(pool_of, answers))
    assert served["hy-near"] >= 3
    assert served["hy-spare"] == 0
    for _ in range(3):
        assert await asyncio.to_thread(served_by, hybrid, "hybrid") == "hy-near"


@pytest.mark.soak
async def test_what_waits_in_a_pool_that_is_removed_goes_on_by_the_policy(
    hybrid: Platform,
) -> None:
    crowd = Crowd(hybrid)
    await crowd.ask(6)
    await crowd.answered(1)
    await asyncio.to_thread(do, hybrid, "Pool.objects.get(name='hy-near').remove(by='test')")
    answers = await crowd.answers()
    assert {answer.status_code for answer in answers} == {200}
    assert set(map(pool_of, answers)) == {"hy-near", "hy-over"}
    assert await asyncio.to_thread(served_by, hybrid, "hybrid") == "hy-over"
    await asyncio.to_thread(do, hybrid, "Pool.objects.get(name='hy-over').remove(by='test')")
    eventually(lambda: served_by(hybrid, "hybrid") == "hy-spare")
    await asyncio.to_thread(do, hybrid, "Pool.objects.get(name='hy-spare').remove(by='test')")
    gone = eventually(lambda: _gone(ask(hybrid, "hybrid")))
    assert gone["code"] == "model_not_found"


def _gone(answer: httpx.Response) -> Any:
    assert answer.status_code < 500 or answer.json()["error"]["code"] == "pool_removed"
    return answer.json()["error"] if answer.status_code == 404 else None


@pytest.fixture
def broke() -> Iterator[BrokeService]:
    with broke_service() as service:
        yield service


@pytest.fixture
def api_first(staged: Platform, mock: Mock, broke: BrokeService) -> Iterator[Platform]:
    """A model that a hosted service serves, with a pool here for when it does not."""
    do(
        staged,
        "model = Model.add('api-first', by='test')\n"
        "there = Pool.add(model, 'api-there', by='test')\n"
        "here = Pool.add(model, 'api-here', condition='failover', by='test')\n"
        f"Engine.add(there, 'api-there', kind='deepseek', url='{broke.url}', hosted=True, "
        "slots=4, by='test')\n"
        f"Engine.add(here, 'api-here', {at(mock)}, slots=8, by='test')",
    )
    yield staged
    do(staged, "Model.objects.get(name='api-first').remove(by='test')")


def test_a_hosted_service_that_wants_money_fails_over_to_a_pool_here(
    api_first: Platform, broke: BrokeService
) -> None:
    here = {"x-forebay-residency": "local"}
    eventually(lambda: served_by(api_first, "api-first", **here) == "api-here", 30)
    with Grpc(api_first).client(api_first.key, headers=here) as asking:
        answer = asking.chat(model="api-first", max_tokens=1)
    assert answer.status == 200
    assert answer.figures["x-forebay-upstream"].startswith("api-here/")
    with Grpc(api_first).client(api_first.key, headers=dict.fromkeys(here, "moon")) as asking:
        assert asking.chat(model="api-first").param == "x-forebay-residency"
    assert broke.bytes == 0
    assert served_by(api_first, "api-first") == "api-here"
    assert broke.bytes > 0, "it was asked first"
