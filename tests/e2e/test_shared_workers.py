"""Two worker processes serve many engines, which come and go; one of them may die."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from bench.servers.forebay import UNLIMITED
from tests.e2e.ask import Record, body, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_limits import new_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
ENGINES = 12
MODELS = [f"m{number}" for number in range(ENGINES)]


@pytest.fixture(scope="module")
def many(session_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of twelve engines, each with a model of its own, and two worker processes."""
    url = f"http://127.0.0.1:{session_mock.port}/v1"
    engine = {"kind": "openai", "url": url, "slots": 4, "model": "mock"}
    variables = {"FOREBAY_WORKER_PROCESSES": "2"}
    folder = tmp_path_factory.mktemp("many")
    platform = Platform(folder, dict.fromkeys(MODELS, engine), variables=variables)
    yield platform
    platform.stop()


async def ask(client: httpx.AsyncClient, model: str) -> httpx.Response:
    return await client.post("/v1/chat/completions", json={**body(), "model": model})


async def ask_all(platform: Platform, models: list[str], times: int = 1) -> list[httpx.Response]:
    key = new_key(platform, *UNLIMITED)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=90) as client:
        return await asyncio.gather(*(ask(client, model) for model in models for _ in range(times)))


def queues(platform: Platform) -> list[set[str]]:
    files = (platform.home / "run").glob("worker.*.json")
    return [set(json.loads(file.read_text())) for file in sorted(files)]


def manage(platform: Platform, code: str) -> None:
    platform.manage("shell", "-c", f"from inference.models import Engine, Model, Pool\n{code}")


@pytest.mark.slow(seconds=15)
def test_two_processes_serve_twelve_engines(many: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    answers = asyncio.run(ask_all(many, MODELS, times=3))
    assert [answer.status_code for answer in answers] == [200] * 3 * ENGINES
    assert len(many.pids("worker")) == 2
    assert [len(process) for process in queues(many)] == [6, 6]


@pytest.mark.slow(seconds=15)
def test_an_engine_that_is_added_goes_to_one_of_them(many: Platform, mock: Mock) -> None:
    mock.behave(tokens=1)
    before = many.pids("worker")
    fields: dict[str, Any] = {"kind": "openai", "url": f"http://127.0.0.1:{mock.port}/v1"}
    fields |= {"slots": 2, "options": {"model": "mock"}}
    manage(
        many,
        "pool = Pool.add(Model.add('late', by='test'), 'late', by='test')\n"
        f"Engine.add(pool, 'late', **{fields!r}, by='test')",
    )
    eventually(lambda: asyncio.run(ask_all(many, ["late"]))[0].status_code == 200)
    assert many.pids("worker") == before
    manage(many, "Model.objects.get(name='late').remove(by='test')")
    eventually(lambda: all("engine.late" not in process for process in queues(many)))


@pytest.mark.slow(seconds=30)
def test_what_a_killed_process_ran_is_answered_and_billed_once(many: Platform, mock: Mock) -> None:
    mock.behave(tokens=1, delay_ms=2500)
    served_by_first = sorted(queue.removeprefix("engine.") for queue in queues(many)[0])

    async def while_one_is_killed() -> list[httpx.Response]:
        asking = asyncio.create_task(ask_all(many, MODELS))
        await asyncio.to_thread(eventually, lambda: mock.state()["running"] >= ENGINES)
        os.kill(many.pids("worker")[0], signal.SIGKILL)
        return await asking

    answers = asyncio.run(while_one_is_killed())
    assert [answer.status_code for answer in answers] == [200] * ENGINES
    records = [Record(many, answer.json()["id"]) for answer in answers]
    assert [len(record.usage()) for record in records] == [1] * ENGINES
    attempts = [record.usage()[0]["attempts"] for record in records]
    assert sum(number == 1 for number in attempts) >= ENGINES // 2, "the other process went on"
    mock.behave(tokens=1)
    eventually(partial(_answers, many, served_by_first), 30)


def _answers(platform: Platform, models: list[str]) -> bool:
    answers = asyncio.run(ask_all(platform, models))
    return {answer.status_code for answer in answers} == {200}
