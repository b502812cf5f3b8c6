"""Neither times nor figures of the queue tell one tenant what another asks, or has.

Visible by design is how much others ask: all tenants share an engine, so its load shows in the time
of an answer, and `x-forebay-queue-position` and `x-forebay-expected-wait-ms` count the requests of
others that have their turn before. A tenant sees by time, and by `x-forebay-cache`, whether it has
itself asked the same before. What must not show is whether *another* has asked the same.

Each test draws two samples alternately, in random order, and compares them with a rank test.
FOREBAY_TEST_TIMINGS says how many pairs (`make soak`: 500).
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from console.isolation.sample_objects import Objects
from inference import engines
from inference.intake.context import Context
from inference.queue import expected_wait, queues
from tenants.models import ApiKey, Tenant
from tests.inference.api.conftest import client_of
from tests.inference.api.kept_answers import ask, is_hit
from tests.inference.engine_server import EngineServer
from tests.inference.rank_test import BOUND, deviations
from tests.inference.running import until

PAIRS = int(os.environ.get("FOREBAY_TEST_TIMINGS", "15"))
ENGINE_S = 0.03  # of an answer: a kept one would come that much sooner
POSITION, WAIT = "x-forebay-queue-position", "x-forebay-expected-wait-ms"
UNLIMITED = {"requests_per_minute": 0, "tokens_per_minute": 0, "max_concurrency": 0}
in_database = database_sync_to_async
pytestmark = [pytest.mark.slow(seconds=20 + PAIRS), pytest.mark.timeout(120 + 4 * PAIRS)]


@pytest.fixture
async def client(context: Context, acme: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client of acme, which has no limits."""
    await in_database(acme.change)(by="test", **UNLIMITED)
    async with await client_of(acme) as asking:
        yield asking


@pytest.fixture
async def stranger(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant."""
    globex = await in_database(Tenant.open)("globex", by="test")
    await in_database(globex.change)(by="test", **UNLIMITED)
    async with await client_of(globex) as asking:
        yield asking


@pytest.fixture(autouse=True)
def _figures_of_now(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Redis is asked often for the figures of its queues."""
    monkeypatch.setattr(queues, "EVERY_S", 0.02)
    expected_wait.forget()
    yield
    expected_wait.forget()


@pytest.fixture
def steady(engine: EngineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer takes the engine the same time."""
    answer = EngineServer._answer

    async def slowly(
        server: EngineServer,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        await asyncio.sleep(ENGINE_S)
        await answer(server, head, reader, writer)

    monkeypatch.setattr(EngineServer, "_answer", slowly)


async def samples(
    measure: Callable[[bool], Awaitable[float]],
) -> tuple[list[float], list[float]]:
    """Returns what `measure(True)` and `measure(False)` gave, each PAIRS times."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(PAIRS):
        for kind in random.sample([True, False], 2):
            taken[kind].append(await measure(kind))
    return taken[True], taken[False]


async def seconds(asking: httpx.AsyncClient, text: str, *, hit: bool = False) -> float:
    began = time.perf_counter()
    answer = await ask(asking, text=text)
    took = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    assert is_hit(answer) is hit
    return took


@pytest.mark.usefixtures("steady")
async def test_the_time_of_an_answer_does_not_tell_whether_another_tenant_has_asked_the_same(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    async def measure(asked_before: bool) -> float:
        """Returns the stranger's time. Either way acme has an answer kept, the moment before."""
        text = secrets.token_hex(16)
        await seconds(client, text if asked_before else secrets.token_hex(16))
        return await seconds(stranger, text)

    same, other = await samples(measure)
    assert abs(deviations(same, other)) < BOUND, (same, other)


@pytest.mark.usefixtures("steady")
async def test_its_own_kept_answers_show_so_there_is_something_to_see(
    client: httpx.AsyncClient,
) -> None:
    async def measure(asked_before: bool) -> float:
        text = secrets.token_hex(16)
        await seconds(client, text if asked_before else secrets.token_hex(16))
        return await seconds(client, text, hit=asked_before)

    repeated, fresh = await samples(measure)
    assert sorted(repeated)[len(repeated) // 2] < sorted(fresh)[len(fresh) // 2]


async def test_the_queue_tells_no_tenant_whether_another_waits_with_the_same(
    client: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    engine: EngineServer,
    pool: str,
    settings: Settings,
) -> None:
    """Its position, its expected wait, and its time once the engine goes on."""
    settings.QUEUE_LIMITS = {"realtime": {"headroom": 0}}  # one tenant may have all slots
    slots = engines.pools()[pool].engines[0].config.slots
    positions = set[str]()
    waits: dict[bool, list[float]] = {True: [], False: []}

    async def measure(same: bool) -> float:
        engine.goes_on.clear()
        began_at = len(engine.asked)
        others = [_asking(client, secrets.token_hex(16)) for _ in range(slots)]
        await until(lambda: _has_begun(engine, began_at + slots))
        text = secrets.token_hex(16)
        others.append(_asking(client, text if same else secrets.token_hex(16)))
        await until(lambda: _waiting(pool, 1))
        own = _asking(stranger, text)
        await until(lambda: _waiting(pool, 2))
        began = time.perf_counter()
        engine.goes_on.set()
        answer = await own
        took = time.perf_counter() - began
        assert {(await other).status_code for other in others} == {answer.status_code} == {200}
        assert is_hit(answer) is False
        positions.add(answer.headers.get(POSITION, ""))
        waits[same].append(float(answer.headers.get(WAIT, "0")))
        return took

    same, other = await samples(measure)
    assert abs(deviations(same, other)) < BOUND, (same, other)
    assert "" not in positions
    assert len(positions) == 1, positions
    assert abs(deviations(waits[True], waits[False])) < BOUND, waits


PATHS = {
    "file": "/v1/files/file-{}",
    "job": "/v1/fine_tuning/jobs/ftjob-{}",
    "batch": "/v1/batches/batch_{}",
    "completion": "/v1/messages/msg_{}/events",
}


@pytest.mark.parametrize("kind", PATHS)
async def test_the_time_of_a_404_does_not_tell_whether_another_tenant_has_the_object(
    acme: Tenant, stranger: httpx.AsyncClient, kind: str
) -> None:
    def made() -> UUID:
        objects = Objects(acme, "acme")
        objects.asked_with, _text = ApiKey.issue(acme, "batches", by="test")
        identity: UUID = objects.fresh(kind)
        return identity

    theirs = await in_database(made)()

    async def measure(is_there: bool) -> float:
        path = PATHS[kind].format((theirs if is_there else uuid4()).hex)
        began = time.perf_counter()
        answer = await stranger.get(path)
        took = time.perf_counter() - began
        assert answer.status_code == 404
        return took

    await measure(True)  # connections are open, and what is remembered is remembered
    foreign, missing = await samples(measure)
    assert abs(deviations(foreign, missing)) < BOUND, (foreign, missing)


def _asking(asking: httpx.AsyncClient, text: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(ask(asking, text=text))


async def _has_begun(engine: EngineServer, requests: int) -> bool:
    return len(engine.asked) >= requests


async def _waiting(pool: str, requests: int) -> bool:
    return expected_wait.waiting(pool, "realtime") == requests
