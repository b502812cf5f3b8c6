"""Models, pools and engines come and go while a platform of two web processes runs."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings

from bench.servers.forebay import UNLIMITED
from tests.e2e.ask import body, eventually
from tests.e2e.conftest import Mock, Platform, start_mock
from tests.e2e.test_limits import new_key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
MODEL = "late"
ADD = "from inference.models import Engine, Model, Pool"


def do(platform: Platform, code: str) -> None:
    platform.manage("shell", "-c", f"{ADD}\n{code}")


def add_engine(platform: Platform, name: str, mock: Mock, slots: int) -> None:
    url = json.dumps(f"http://127.0.0.1:{mock.port}/v1")
    do(
        platform,
        f"pool = Pool.objects.get(name='{MODEL}')\n"
        f"Engine.add(pool, '{name}', kind='openai', url={url}, slots={slots}, by='test')",
    )


@pytest.fixture
def late(doubled: Platform, mock: Mock) -> Iterator[Platform]:
    """With one more model than FOREBAY_ENGINES names, of one engine with one slot."""
    do(doubled, f"Pool.add(Model.add('{MODEL}', by='test'), '{MODEL}', by='test')")
    add_engine(doubled, "late-1", mock, 1)
    eventually(lambda: everywhere(doubled, served=True))
    yield doubled
    do(doubled, f"[m.remove(by='test') for m in Model.objects.filter(name='{MODEL}')]")
    eventually(lambda: everywhere(doubled, served=False))


def everywhere(platform: Platform, *, served: bool) -> bool:
    """Whether each web process says so: a connection goes to any of them."""
    asked = [_models(platform) for _ in range(12)]
    return all((MODEL in found) == served for found in asked)


def _models(platform: Platform) -> list[str]:
    headers = {"Authorization": f"Bearer {platform.key}"}
    found = httpx.get(f"{platform.url}/v1/models", headers=headers).json()
    return [model["id"] for model in found["data"]]


def served_queues(platform: Platform) -> set[str]:
    """Returns the Celery queues that its worker processes are to serve."""
    files = (platform.home / "run").glob("worker.*.json")
    return {queue for file in files for queue in json.loads(file.read_text())}


async def asked(platform: Platform, key: str, times: int) -> list[httpx.Response]:
    headers, most = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_connections=times)
    url, message = f"{platform.url}/v1/chat/completions", {**body(), "model": MODEL}
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=most) as client:
        return await asyncio.gather(*(client.post(url, json=message) for _ in range(times)))


def all_work(*mocks: Mock) -> bool:
    return all(mock.state()["running"] for mock in mocks)


async def while_asking(
    platform: Platform, times: int, started: Callable[[], Any], code: str
) -> list[int]:
    """The statuses; `code` is done once the engine works."""
    key = new_key(platform, *UNLIMITED)
    asking = asyncio.create_task(asked(platform, key, times))
    await asyncio.to_thread(eventually, started)
    await asyncio.to_thread(do, platform, code)
    return [answer.status_code for answer in await asking]


@pytest.mark.slow(seconds=15)
def test_an_engine_is_in_use_without_a_restart_and_gone_without_one(late: Platform) -> None:
    eventually(lambda: "engine.late-1" in served_queues(late))
    answers = asyncio.run(asked(late, new_key(late, *UNLIMITED), 3))
    assert {answer.status_code for answer in answers} == {200}
    do(late, f"Model.objects.get(name='{MODEL}').remove(by='test')")
    eventually(lambda: everywhere(late, served=False))
    eventually(lambda: "engine.late-1" not in served_queues(late))


@pytest.mark.slow(seconds=15)
def test_an_engine_that_drains_drops_no_request(
    late: Platform, mock: Mock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = start_mock(tmp_path_factory.mktemp("other"))
    try:
        mock.behave(tokens=1, delay_ms=500)
        other.behave(tokens=1, delay_ms=100)
        add_engine(late, "late-2", other, 1)
        drain = "Engine.objects.get(name='late-1').drain(by='test')"
        statuses = asyncio.run(while_asking(late, 16, partial(all_work, mock, other), drain))
        assert statuses == [200] * 16
        answered = mock.state()["requests"]
        asyncio.run(asked(late, new_key(late, *UNLIMITED), 4))
        assert mock.state()["requests"] == answered, "it took a request although it drains"
    finally:
        other.child.stop()


@pytest.mark.soak
@pytest.mark.slow(seconds=15)
def test_what_waits_in_a_removed_pool_is_told_and_what_runs_is_finished(
    late: Platform, mock: Mock
) -> None:
    mock.behave(tokens=1, delay_ms=4000)
    remove = f"Pool.objects.get(name='{MODEL}').remove(by='test')"
    statuses = asyncio.run(while_asking(late, 4, partial(all_work, mock), remove))
    assert sorted(statuses) == [200, 503, 503, 503]


@pytest.mark.soak
@pytest.mark.slow(seconds=25)
def test_a_worker_that_is_told_to_end_finishes_first_and_takes_no_more(
    late: Platform, mock: Mock
) -> None:
    """As on a node of Kubernetes that is drained. Whoever waits is served once it is back."""
    do(late, "Engine.objects.get(name='late-1').change(by='test', options={'elastic': True})")
    asyncio.run(asked(late, new_key(late, *UNLIMITED), 1))  # its worker has come
    mock.behave(tokens=1, delay_ms=2000)
    statuses = asyncio.run(while_asking(late, 3, partial(all_work, mock), END))
    assert statuses == [200] * 3
    eventually(lambda: _told_by_worker(late) == ["engine:drain", "engine:resume"])


END = """
from pathlib import Path
import os, signal
for path in Path("/proc").glob("[0-9]*/cmdline"):
    if path.exists() and b"engine.late-1" in path.read_bytes():
        os.kill(int(path.parent.name), signal.SIGTERM)
"""


def _told_by_worker(platform: Platform) -> list[str]:
    query = "select action from audit_event where actor = 'system:worker' order by at, id"
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        return [action for (action,) in database.execute(query).fetchall()]
