"""Of two engines the first misbehaves or dies: the other one answers, and the books stay exact.

FOREBAY_TEST_ENGINE_KILLS sets how often the first engine is killed under load; `make soak` takes 20
and waits each time until its breaker lets requests through again.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest
import redis
from django.conf import settings

from inference.engines.health import breakers
from tests.e2e.ask import Record, body, chat, client, events, eventually, stream
from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform, start_mock
from tests.e2e.test_faults import settled_exactly_once

KILLS = int(os.environ.get("FOREBAY_TEST_ENGINE_KILLS", "1"))
SOAKS = KILLS > 1
A_SECOND = 50 if SOAKS else 20  # requests
SWITCHED_S = 5.0  # after a kill, no request fails any more: on a machine that does nothing else
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180 + 90 * KILLS)]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mock, Mock]]:
    mocks = [start_mock(tmp_path_factory.mktemp(name)) for name in ("near", "far")]
    yield mocks[0], mocks[1]
    for mock in mocks:
        mock.child.stop()


@pytest.fixture(scope="module")
def two_engines(
    engines: tuple[Mock, Mock], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    pools = {
        name: {"url": f"http://127.0.0.1:{mock.port}/v1"}
        for name, mock in zip(("near", "far"), engines, strict=True)
    }
    model = {"kind": "openai", "slots": MOCK_SLOTS, "context_length": 4096, "pools": pools}
    model |= {"silence_s": 2, "first_token_s": 3}  # shorter than by themselves
    running = Platform(tmp_path_factory.mktemp("failing"), {"mock": model})
    yield running
    running.stop()


@pytest.fixture
def platform(two_engines: Platform, engines: tuple[Mock, Mock]) -> Platform:
    """In good health, and with all breakers closed."""
    for engine in engines:
        engine.behave()
    with redis.Redis.from_url(two_engines.running()["REDIS_URL"]) as valkey:
        valkey.delete(breakers.STATES_KEY)
    eventually(lambda: served_by(two_engines) == "near", 60)
    return two_engines


def served_by(platform: Platform) -> str:
    answer = chat(platform, max_tokens=1)
    assert answer.status_code == 200, answer.text
    return pool_of(platform, answer)


def pool_of(platform: Platform, answer: httpx.Response) -> str:
    (usage,) = Record(platform, answer.headers["x-request-id"]).usage()
    return str(usage["pool"])


def test_each_pool_has_its_worker_and_the_first_serves(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    assert len(platform.pids("worker")) == 2
    answer = chat(platform)
    assert answer.status_code == 200
    assert pool_of(platform, answer) == "near"
    assert answer.headers["x-forebay-upstream"] == "near/near/openai"


def test_when_its_engine_dies_the_other_pool_answers_and_the_books_are_right(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    near, far = engines
    near.child.process.kill()
    near.child.process.wait()
    with client(platform) as asking:  # before anybody has noticed: it is handed over
        answers = [asking.post("/v1/chat/completions", json=body(max_tokens=8)) for _ in range(3)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-forebay-upstream"] == "far/far/openai"
        record = Record(platform, answer.headers["x-request-id"])
        (usage,) = record.usage()
        assert (usage["pool"], usage["error_code"]) == ("far", "")
        assert usage["completion_tokens"] == answer.json()["usage"]["completion_tokens"]
        assert record.state() == "done"
    with stream(platform) as answer:
        assert [data for _, data in events(answer.iter_lines())][-1] == "[DONE]"
    eventually(lambda: far.state()["running"] == 0, 5)
    near.start_again()


@pytest.mark.parametrize("how", ["http_500", "http_429", "redirect", "garbage", "drop_mid_stream"])
def test_what_the_first_does_wrong_the_second_does_right(
    platform: Platform, engines: tuple[Mock, Mock], how: str
) -> None:
    engines[0].behave(fail=how)
    answer = chat(platform, max_tokens=8)
    assert answer.status_code == 200, answer.text
    record = Record(platform, answer.headers["x-request-id"])
    (usage,) = record.usage()
    assert (usage["pool"], usage["error_code"], usage["completion_tokens"]) == ("far", "", 8)
    assert record.state() == "done"


def test_usage_that_is_none_is_counted_by_us(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    engines[0].behave(fail="wrong_usage")
    answer = chat(platform, max_tokens=8)
    assert answer.status_code == 200
    (usage,) = Record(platform, answer.headers["x-request-id"]).usage()
    assert usage["completion_tokens"] > 0, "no answer is for nothing"
    settled_exactly_once(platform)


def test_a_stream_of_which_nothing_comes_goes_on_elsewhere_though_health_is_well(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    """It accepts, and hangs: its slot would be held until the deadline."""
    engines[0].behave(fail="never")
    with stream(platform, max_tokens=8) as answer:
        assert [data for _, data in events(answer.iter_lines())][-1] == "[DONE]"
    assert pool_of(platform, answer) == "far"
    eventually(lambda: engines[0].state()["running"] == 0, 5)
    settled_exactly_once(platform)


def test_an_engine_that_freezes_is_noticed_and_the_other_answers(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    engines[0].behave(fail="never")
    asked: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: asked.append(chat(platform, max_tokens=8)))
    asking.start()
    eventually(lambda: engines[0].state()["running"] == 1, 10)
    engines[0].child.process.send_signal(signal.SIGSTOP)
    try:
        asking.join(60)
    finally:
        engines[0].child.process.send_signal(signal.SIGCONT)
    assert asked[0].status_code == 200
    assert pool_of(platform, asked[0]) == "far"


def test_a_flush_of_redis_closes_an_open_breaker(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    engines[0].behave(fail="http_500")
    for _ in range(breakers.FAILURES):
        assert served_by(platform) == "far"
    asked = engines[0].state()["requests"]
    assert served_by(platform) == "far"
    assert engines[0].state()["requests"] == asked, "it is left alone"
    engines[0].behave()
    with redis.Redis.from_url(platform.running()["REDIS_URL"]) as valkey:
        valkey.flushall()
    eventually(lambda: served_by(platform) == "near", 20)


@dataclass
class Load:
    """Requests at a steady rate, whatever becomes of those before."""

    platform: Platform
    over: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, httpx.Response]] = field(default_factory=list)
    lost: list[Exception] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self.thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(90)

    async def _ask_all(self) -> None:
        headers = {"Authorization": f"Bearer {self.platform.key}"}
        limits = httpx.Limits(max_connections=1000)
        async with (
            httpx.AsyncClient(
                base_url=self.platform.url, headers=headers, timeout=80, limits=limits
            ) as client,
            asyncio.TaskGroup() as asking,
        ):
            due = time.monotonic()
            while not self.over.is_set():
                asking.create_task(self._ask(client))
                due += 1 / A_SECOND
                await asyncio.sleep(max(0, due - time.monotonic()))

    async def _ask(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.post("/v1/chat/completions", json=body(max_tokens=4))
            self.answers.append((time.monotonic(), answer))
        except httpx.HTTPError as problem:
            self.lost.append(problem)


def test_the_first_engine_is_killed_under_load(
    platform: Platform, engines: tuple[Mock, Mock]
) -> None:
    near, _ = engines
    switches: list[float] = []
    with Load(platform) as load:
        for _ in range(KILLS):
            time.sleep(2)
            near.child.process.kill()
            near.child.process.wait()
            killed_at = time.monotonic()
            time.sleep(6)
            switches.append(last_failure(load, killed_at))
            near.start_again()
            if not SOAKS:
                platform.manage("breaker", "near", "automatic")
            eventually(lambda: near.state()["requests"] > 20, 90)
    assert load.lost == [], "each was answered"
    told = {answer.status_code for _, answer in load.answers}
    assert told <= {200, 502, 503}
    assert all(answer.json()["error"]["code"] for _, answer in load.answers if answer.is_error)
    ids = [answer.headers["x-request-id"] for _, answer in load.answers]
    assert len(set(ids)) == len(ids)
    settled_exactly_once(platform)
    exact_books(platform, [a.headers["x-request-id"] for _, a in load.answers if a.is_success])
    failed = sum(answer.is_error for _, answer in load.answers)
    assert max(switches) < SWITCHED_S or not SOAKS
    print(f"\n{KILLS} kills, {len(ids)} answers, {failed} errors, switch {max(switches):.1f} s")
    assert failed <= KILLS * MOCK_SLOTS, "at most what ran there"


def last_failure(load: Load, since: float) -> float:
    """Seconds after the kill; 0 where no request failed."""
    return max(
        (at - since for at, answer in load.answers if at > since and answer.is_error), default=0
    )


def exact_books(platform: Platform, ids: list[str]) -> None:
    """Each answer took 4 tokens, and is in the books once."""
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        rows = database.execute(
            "select count(*), min(completion_tokens), max(completion_tokens)"
            " from inference_usage where completion_id = any(%s::uuid[])",
            ([one.removeprefix("chatcmpl-") for one in ids],),
        ).fetchone()
    assert rows == (len(ids), 4, 4)
