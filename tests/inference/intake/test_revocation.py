"""What was taken away reaches requests in progress and open sockets within a second."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from audit.models import DeletionRequest
from inference.intake.access.revocation import Credential, Revocation
from inference.models import Completion, State
from inference.order import Order
from inference.stream.frames import Kind
from inference.stream.reader_buffer import ReaderBuffer
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.audit.weak_line import WeakLine, through, weak_line_to_database
from tests.inference.orders import an_order
from tests.people import join

in_database = database_sync_to_async
TakenAway = Callable[[ApiKey, Member], Any]


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[WeakLine]:
    async with weak_line_to_database(dsn) as line:
        yield line


@pytest.fixture
def cancelled() -> list[UUID]:
    return []


@pytest.fixture
async def watch(dsn: str, line: WeakLine, cancelled: list[UUID]) -> AsyncIterator[Revocation]:
    watch = Revocation(through(line, dsn), lambda order: cancelled.append(order.id))
    yield watch
    await watch.close()


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


@pytest.fixture
def bob(acme: Tenant) -> Member:
    join(acme, "alice@acme.example", Role.OWNER)
    return join(acme, "bob@acme.example")


def on_record(tenant: Tenant, **changes: Any) -> Order:
    order = an_order(tenant_id=tenant.id, **changes)
    Completion.objects.create(
        id=order.id,
        tenant=tenant,
        model=order.model,
        route=order.route,
        stream=True,
        created_at=timezone.now(),
    )
    return order


def settle(order: Order) -> None:
    Completion.objects.filter(pk=order.id).update(state=State.CANCELLED)


async def until(holds: Callable[[], Any], seconds: float = 1.0) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "not in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_revoked_keys_stream_ends_with_an_error(
    watch: Revocation, acme: Tenant, key: ApiKey, cancelled: list[UUID]
) -> None:
    order, buffer = await in_database(on_record)(acme), ReaderBuffer()
    watch.begin(order, bytes(key.digest), buffer)
    await asyncio.sleep(0.7)
    assert not buffer.finished
    await in_database(key.revoke)(by="test")
    await until(lambda: buffer.finished)
    frame = await buffer.next(1)
    assert frame
    assert (frame.kind, frame.status) == (Kind.ERROR, 401)
    assert orjson.loads(frame.body)["error"]["code"] == "access_revoked"
    assert order.id in cancelled


@pytest.mark.parametrize(
    ("taken_away", "why"),
    [
        (lambda key, bob: key.revoke(by="t"), "access_revoked"),
        (lambda key, bob: key.change(by="t", scopes=["batch"]), "access_revoked"),
        (lambda key, bob: ApiKey.objects.update(expires_at=timezone.now()), "access_revoked"),
        (lambda key, bob: key.delete(), "access_revoked"),
        (lambda key, bob: key.tenant.suspend(by="t", reason="x"), "tenant_suspended"),
        (lambda key, bob: key.tenant.close(by="t", reason="x"), "tenant_closing"),
    ],
    ids=["revoked", "scope", "expired", "deleted", "suspended", "closing"],
)
async def test_how_a_key_ends(
    watch: Revocation, key: ApiKey, bob: Member, taken_away: TakenAway, why: str
) -> None:
    lost = list[str]()
    watch.attend("socket", bytes(key.digest), lost.append)
    await in_database(taken_away)(key, bob)
    await until(lambda: lost)
    await asyncio.sleep(0.7)
    assert lost == [why]
    assert len(watch) == 0


@pytest.mark.parametrize(
    ("taken_away", "why"),
    [
        (lambda key, bob: bob.change_role(Role.AUDITOR, by="t"), "access_revoked"),
        (lambda key, bob: bob.remove(by="t"), "access_revoked"),
        (
            lambda key, bob: User.objects.filter(pk=bob.user_id).update(is_active=False),
            "access_revoked",
        ),
        (lambda key, bob: bob.tenant.suspend(by="t", reason="x"), "tenant_suspended"),
    ],
    ids=["demoted", "removed", "inactive", "suspended"],
)
async def test_how_a_member_ends(
    watch: Revocation, key: ApiKey, bob: Member, taken_away: TakenAway, why: str
) -> None:
    lost = list[str]()
    watch.attend("socket", bob.id, lost.append)
    await asyncio.sleep(0.6)
    assert lost == []
    await in_database(taken_away)(key, bob)
    await until(lambda: lost)
    assert lost == [why]


@pytest.mark.parametrize("whose", ["key", "member"])
async def test_a_request_ends_when_its_persons_data_is_restricted(
    watch: Revocation, acme: Tenant, key: ApiKey, bob: Member, cancelled: list[UUID], whose: str
) -> None:
    """Nothing of theirs is processed, from when an erasure or a restriction has begun."""
    order, buffer = await in_database(on_record)(acme), ReaderBuffer()
    subject = (key if whose == "key" else bob).subject_id
    watch.begin(order, bytes(key.digest) if whose == "key" else bob.id, buffer)
    await asyncio.sleep(0.7)
    assert not buffer.finished
    now = timezone.now()
    at = {"requested_at": now, "due_at": now, "requested_by": "test", "state": "running"}
    create = in_database(DeletionRequest.objects.create)
    await create(tenant_id=acme.id, subject_id=subject, **at)
    await until(lambda: buffer.finished)
    frame = await buffer.next(1)
    assert frame
    assert (frame.kind, frame.status) == (Kind.ERROR, 403)
    assert orjson.loads(frame.body)["error"]["code"] == "restricted"
    assert order.id in cancelled


async def test_nobody_else_is_cut_off(
    watch: Revocation, acme: Tenant, key: ApiKey, bob: Member
) -> None:
    other, _ = await in_database(ApiKey.issue)(acme, "other", by="test")
    lost = list[str]()
    watch.attend(1, bytes(key.digest), lost.append)
    watch.attend(2, bytes(other.digest), lambda why: lost.append(f"other {why}"))
    watch.attend(3, bob.id, lambda why: lost.append(f"bob {why}"))
    await in_database(key.revoke)(by="test")
    await until(lambda: lost)
    await asyncio.sleep(0.7)
    assert lost == ["access_revoked"]
    assert len(watch) == 2


async def test_one_question_for_all_of_them(
    watch: Revocation, acme: Tenant, key: ApiKey, bob: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask = list[int](), watch._ask

    async def counted(credentials: Any, orders: Any) -> Any:
        asked.append(len(credentials))
        return await ask(credentials, orders)

    monkeypatch.setattr(watch, "_ask", counted)
    for n in range(50):
        watch.attend(n, bytes(key.digest) if n % 2 else bob.id, lambda why: None)
    await asyncio.sleep(1.2)
    assert asked == [2, 2]
    for n in range(50):
        watch.dismiss(n)
    await asyncio.sleep(0.7)
    assert len(asked) == 2  # nothing is asked for nobody


async def test_without_the_database_nobody_is_cut_off_until_it_is_back(
    watch: Revocation, key: ApiKey, line: WeakLine
) -> None:
    lost = list[str]()
    watch.attend("socket", bytes(key.digest), lost.append)
    await asyncio.sleep(0.6)
    await line.down()
    await in_database(key.revoke)(by="test")
    await asyncio.sleep(1.5)
    assert lost == []
    await line.up()
    await until(lambda: lost, 2)


async def test_a_frozen_database_holds_up_one_look_only(
    watch: Revocation, key: ApiKey, line: WeakLine
) -> None:
    lost = list[str]()
    watch.attend("socket", bytes(key.digest), lost.append)
    await asyncio.sleep(0.6)
    line.freeze()
    await in_database(key.revoke)(by="test")
    await asyncio.sleep(1)
    assert lost == []
    await line.cut()
    line.thaw()
    await until(lambda: lost, 5)


async def test_it_is_cancelled_until_it_is_settled(
    watch: Revocation, acme: Tenant, key: ApiKey, cancelled: list[UUID]
) -> None:
    """The first word may come before the queue knows the request."""
    order = await in_database(on_record)(acme)
    watch.begin(order, bytes(key.digest), ReaderBuffer())
    await in_database(key.revoke)(by="test")
    await until(lambda: cancelled)
    watch.leave(order)
    await until(lambda: len(cancelled) > 1, 1.5)
    await in_database(settle)(order)
    await until(lambda: len(watch) == 0, 1.5)


async def test_a_chat_is_watched_on_when_its_reader_has_left(
    watch: Revocation, acme: Tenant, bob: Member, cancelled: list[UUID]
) -> None:
    gone_on, finished = [await in_database(on_record)(acme, outlives_reader=True) for _ in range(2)]
    for order in (gone_on, finished):
        watch.begin(order, bob.id, ReaderBuffer())
        watch.leave(order)
    await in_database(settle)(finished)
    await until(lambda: len(watch) == 1, 1.5)
    await in_database(bob.remove)(by="test")
    await until(lambda: cancelled)
    assert set(cancelled) == {gone_on.id}
    await in_database(settle)(gone_on)
    await until(lambda: len(watch) == 0, 1.5)


async def test_what_never_ends_is_forgotten_at_its_deadline(
    watch: Revocation, acme: Tenant, bob: Member
) -> None:
    order = await in_database(on_record)(acme, outlives_reader=True, deadline=time.time() + 0.2)
    watch.begin(order, bob.id, ReaderBuffer())
    watch.leave(order)
    await until(lambda: len(watch) == 0, 1.5)


async def test_a_listener_that_breaks_harms_no_other(watch: Revocation, key: ApiKey) -> None:
    def breaks(why: str) -> None:
        raise RuntimeError

    lost = list[str]()
    watch.attend(1, bytes(key.digest), breaks)
    watch.attend(2, bytes(key.digest), lost.append)
    await in_database(key.revoke)(by="test")
    await until(lambda: lost)
    assert len(watch) == 0


async def test_after_a_thousand_that_came_and_went_nothing_is_left(
    watch: Revocation, acme: Tenant, key: ApiKey, bob: Member, cancelled: list[UUID]
) -> None:
    dice = random.Random(7)
    credentials: list[Credential] = [bytes(key.digest), bob.id, uuid4(), b"nobody's"]

    async def come_and_go(n: int) -> None:
        order = an_order(tenant_id=acme.id, outlives_reader=n % 3 == 0)
        credential, socket = dice.choice(credentials), object()
        await asyncio.sleep(dice.random() * 1.5)
        watch.begin(order, credential, ReaderBuffer())
        watch.attend(socket, credential, lambda why: None)
        await asyncio.sleep(dice.random())
        watch.dismiss(socket)
        watch.leave(order)

    await asyncio.gather(*[come_and_go(n) for n in range(1000)])
    await until(lambda: len(watch) == 0, 2)
