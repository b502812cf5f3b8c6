"""A queue that is full takes nothing more: refused before anything is recorded, and told when."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.engines import pools
from inference.intake import enqueue
from inference.intake.errors import QueueFull
from inference.intake.route import has_a_turn, route, with_room
from inference.models import Completion
from inference.queue import expected_wait, queues
from inference.queue.expected_wait import QueueFigures
from inference.queue.fair_queue import FairQueue, prefix
from inference.queue.limits import limits_of
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Tenant
from tests.inference.callers import a_caller
from tests.inference.orders import an_item
from tests.inference.running import until
from tests.inference.web import served, serving

in_database = database_sync_to_async
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
REALTIME = "realtime"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WAITING = 4


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    expected_wait.forget()
    yield
    expected_wait.forget()
    engines.forget()


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Any:
    def tell(pool: str, waiting: int, interval_s: float = 0.0) -> None:
        line = QueueFigures(full=True, interval_s=interval_s, waiting={REALTIME: waiting})
        monkeypatch.setitem(expected_wait._figures, pool, line)

    return tell


def serve(settings: Settings, **limits: dict[str, Any]) -> None:
    named = {name: {**ENGINE, "limits": {REALTIME: own}} for name, own in limits.items()}
    settings.ENGINES = {"m": {"pools": named}}
    engines.forget()


def retry_after() -> int:
    with pytest.raises(QueueFull) as full:
        route(a_caller(), "m", REALTIME)
    return full.value.retry_after


# Which pool, and when to come back --------------------------------------------------------------
def test_one_that_is_too_long_has_no_room(settings: Settings, tell: Any) -> None:
    serve(settings, here={"waiting": 10})
    tell("here", 9, interval_s=2)
    assert route(a_caller(), "m", REALTIME).name == "here"
    tell("here", 10, interval_s=2)
    assert retry_after() == 2, "when one more has begun"
    tell("here", 14, interval_s=2)
    assert retry_after() == 10
    tell("here", 14)
    assert retry_after() == 25, "no pace is known"


def test_one_in_which_it_would_wait_too_long_has_no_room(settings: Settings, tell: Any) -> None:
    serve(settings, here={"wait_s": 30})
    tell("here", 10, interval_s=2.9)
    assert route(a_caller(), "m", REALTIME).name == "here"
    tell("here", 10, interval_s=3.5)
    assert retry_after() == 5


def test_another_pool_with_room_takes_it(settings: Settings, tell: Any) -> None:
    serve(settings, here={"waiting": 10}, there={"waiting": 5})
    tell("here", 10, interval_s=2)
    assert route(a_caller(), "m", REALTIME).name == "there"
    tell("there", 9, interval_s=0.3)
    assert retry_after() == 2, "that of the one that has room sooner"
    assert route(a_caller(), "m", "batch").name == "here", "its own limits"


def test_a_pool_says_it_then_the_installation_then_the_class(settings: Settings) -> None:
    serve(settings, here={"waiting": 7})
    settings.QUEUE_LIMITS = {REALTIME: {"waiting": 8, "wait_s": 9}}
    here = pools()["here"]
    assert limits_of(here.policy, REALTIME).items() >= {"waiting": 7, "wait_s": 9}.items()
    assert limits_of(here.policy, "finetune").items() >= {"waiting": 50_000, "wait_s": 600}.items()
    settings.QUEUE_LIMITS = {}
    assert limits_of(here.policy, REALTIME).items() >= {"waiting": 7, "wait_s": 120}.items()
    assert with_room([here], REALTIME) == [here]


# Over HTTP --------------------------------------------------------------------------------------
@pytest.fixture
async def asking(
    dsn: str, pool: str, acme: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    settings.ENGINES = {"m": {"pools": {pool: {**ENGINE, "limits": {REALTIME: {"waiting": 4}}}}}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    monkeypatch.setattr(queues, "EVERY_S", 0.02)
    engines.forget()
    _, text = await in_database(ApiKey.issue)(acme, "ci", by="test")
    headers = {"Authorization": f"Bearer {text}"}
    # No other test's requests count on this address.
    transport = httpx.ASGITransport(served, client=("198.51.100.121", 5000))
    async with (
        serving(),
        httpx.AsyncClient(transport=transport, base_url="http://f", headers=headers) as client,
    ):
        yield client


async def fill(queue: FairQueue) -> None:
    """All slots are in use."""
    await queue.pop(0, "runner-1")


def ask(client: httpx.AsyncClient) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.post("/v1/chat/completions", json=BODY))


async def waiting(link: RedisLink, pool: str) -> int:
    orders, on = [await link.call("HLEN", f"{prefix(pool)}:{name}") for name in ("orders", "on")]
    return int(orders) - int(on)


async def test_refused_before_anything_is_recorded(
    asking: httpx.AsyncClient, queue: FairQueue, link: RedisLink
) -> None:
    await fill(queue)
    tasks = []
    for n in range(WAITING):
        tasks.append(ask(asking))
        await until(partial(_is, link, queue.pool, n + 1))
    events = await in_database(Event.objects.count)()
    answer = await asking.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "queue_full"
    assert int(answer.headers["retry-after"]) >= 1
    assert await in_database(Completion.objects.count)() == WAITING
    assert await in_database(Event.objects.count)() == events
    popped = await queue.pop(1, "runner-1")  # it drains, and this process sees it
    async with asyncio.timeout(10):
        while expected_wait.waiting(queue.pool, REALTIME) == WAITING:
            await asyncio.sleep(0.01)
    assert len(popped) == 1
    tasks.append(ask(asking))
    await until(lambda: _is(link, queue.pool, WAITING))
    for task in tasks:
        task.cancel()


async def test_what_is_on_its_way_comes_on_top(
    asking: httpx.AsyncClient, queue: FairQueue, link: RedisLink
) -> None:
    """Requests that all come at once are let in by what was known before the first had joined."""
    await fill(queue)
    tasks = [ask(asking) for _ in range(20)]
    await until(lambda: _is(link, queue.pool, 20))
    answer = await asking.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 503, "and then no more"
    for task in tasks:
        task.cancel()


async def test_who_is_refused_all_the_time_has_an_address_that_is_counted(
    asking: httpx.AsyncClient, settings: Settings, tell: Any, pool: str
) -> None:
    settings.ADDRESS_PER_MINUTE = 3
    tell(pool, WAITING)
    answers = [await asking.post("/v1/chat/completions", json=BODY) for _ in range(6)]
    codes = [answer.status_code for answer in answers]
    assert codes[:3] == [503] * 3
    assert codes[-1] == 429


async def test_who_waits_behind_another_tenants_backlog_has_a_turn(
    asking: httpx.AsyncClient,
    queue: FairQueue,
    link: RedisLink,
    settings: Settings,
    tell: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue is fair: one tenant's requests must not refuse those of others."""
    monkeypatch.setattr(queues, "EVERY_S", 60)  # what is told here holds
    serve(settings, **{queue.pool: {"wait_s": 30}})
    await fill(queue)
    for _ in range(WAITING):
        await queue.enqueue(an_item(tenant="flooding"), b"x")
    tell(queue.pool, WAITING, interval_s=12)
    first = ask(asking)
    await until(lambda: _is(link, queue.pool, WAITING + 1))
    tell(queue.pool, WAITING + 1, interval_s=12)
    answer = await asking.post("/v1/chat/completions", json=BODY)
    assert answer.status_code == 503, "its second one would begin after 4 x 12 s"
    first.cancel()


@pytest.mark.parametrize(
    ("own", "tenants", "has_one"), [(0, 2, True), (0, 3, False), (1, 2, False), (4, 1, False)]
)
def test_a_turn_comes_after_one_of_each_other_tenant(
    settings: Settings, tell: Any, own: int, tenants: int, *, has_one: bool
) -> None:
    serve(settings, here={"wait_s": 30, "waiting": 10})
    tell("here", 8, interval_s=12)
    assert has_a_turn(pools()["here"], REALTIME, own, tenants) is has_one
    tell("here", 10, interval_s=12)
    assert not has_a_turn(pools()["here"], REALTIME, own, tenants), "as many as may wait"


async def _is(link: RedisLink, pool: str, n: int) -> bool:
    return await waiting(link, pool) == n
