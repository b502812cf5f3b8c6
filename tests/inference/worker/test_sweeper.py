"""What Redis, a runner or a web process lost comes back from PostgreSQL."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import keyring
from audit.models import DataKey, Event, Payload
from audit.trail.commit_queue import Row
from inference import classes, engines
from inference.models import Completion, State, Usage
from inference.order import Item, Order, packed
from inference.queue.client import client
from inference.queue.fair_queue import FairQueue, prefix
from inference.queue.pool_workers import PoolWorker
from inference.record import limit_usage, request_rows, settle_unrun, sql_statements
from inference.record.outcome import Outcome
from inference.worker.recovery import restoring, sweeper
from infrastructure.redis.link import RedisLink
from tenants.models import ApiKey, Tenant
from tenants.quotas.charge import Charge
from tenants.rate_limits.admission import concurrency_key
from tenants.rate_limits.held_slots import REACQUIRE, reacquire_arguments
from tests.inference.orders import an_order
from tests.inference.worker.conftest import POOL, forget_swept
from tests.unguarded import unguarded

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("swept_pool")]


@pytest.fixture(autouse=True)
def wake_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr("inference.queue.pool_workers._publish", lambda one: sent.append(one.pool))
    return sent


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


def write(statement: str, row: Row) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])


def on_record(acme: Tenant, *, age_s: float = 5, **changes: Any) -> Order:
    """A request that was received, and that nobody has settled."""
    received = time.time() - age_s
    changes = {"deadline": received + configured.REQUEST_DEADLINE_S, "reply_to": "", **changes}
    order = an_order(tenant_id=acme.id, model=POOL, created_at=received, **changes)
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    ciphertext = request_rows.encrypted_order(order, cipher)
    write(sql_statements.RECEIVED, request_rows.received_row(order, ciphertext))
    return order


def settle(order: Order) -> None:
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    write(sql_statements.SETTLED, request_rows.settled_row(order, Outcome(), cipher, time.time()))


def the_epoch_is_old() -> None:
    client().set(f"{prefix(POOL)}:epoch", int(time.time() * 1000) - 60_000)


def with_queue(work: Any) -> Any:
    """Runs `work(queue)` in a loop of its own."""

    async def run() -> Any:
        link = RedisLink(configured.REDIS_URL)
        try:
            return await work(FairQueue(link, POOL))
        finally:
            link.close()
            await asyncio.sleep(0)

    return asyncio.run(run())


def popped(n: int = 10) -> list[tuple[Item, bytes]]:
    found: list[tuple[Item, bytes]] = with_queue(lambda queue: queue.pop(n, "runner-1"))
    return found


def enqueue(order: Order) -> None:
    ciphertext = request_rows.encrypted_order(
        order, keyring.of_subject_now(order.tenant_id, order.subject_id)
    )
    with_queue(lambda queue: queue.enqueue(order.item, ciphertext))


def ids(found: list[tuple[Item, bytes]]) -> list[UUID]:
    return [UUID(item.id) for item, _ in found]


# Lost entries -----------------------------------------------------------------------------------
def test_a_request_that_the_queue_has_lost_comes_back(acme: Tenant, wake_ups: list[str]) -> None:
    order = on_record(acme)
    the_epoch_is_old()
    sweeper.sweep_all()
    ((item, ciphertext),) = popped()
    assert (item.id, item.attempt, item.tenant) == (str(order.id), 2, str(acme.id))
    place = request_rows.request_aad(order.tenant_id.bytes, order.id.bytes)
    opened = keyring.by_id_now(request_rows.key_id(ciphertext)).decrypt(ciphertext[16:], place)
    assert packed(order) == opened
    assert wake_ups == [POOL]


def test_it_comes_back_once(acme: Tenant) -> None:
    on_record(acme)
    the_epoch_is_old()
    for _ in range(3):
        sweeper.sweep_all()
    assert len(popped()) == 1
    sweeper.sweep_all()
    assert popped() == []


def test_one_that_waits_or_runs_is_left_alone(acme: Tenant) -> None:
    waiting, running = on_record(acme), on_record(acme)
    the_epoch_is_old()
    enqueue(running)
    assert ids(popped(1)) == [running.id]
    enqueue(waiting)
    sweeper.sweep_all()
    assert ids(popped()) == [waiting.id]


def test_settled_requests_are_left_alone(acme: Tenant) -> None:
    settle(on_record(acme))
    settle(on_record(acme, age_s=10_000))
    the_epoch_is_old()
    sweeper.sweep_all()
    assert popped() == []
    assert Usage.objects.count() == 2
    assert not Completion.objects.exclude(state=State.DONE).exists()


def test_young_requests_may_still_be_on_their_way(acme: Tenant) -> None:
    on_record(acme, age_s=0.5)
    the_epoch_is_old()
    sweeper.sweep_all()
    assert popped() == []


def test_after_a_loss_runners_have_time_to_put_back_what_they_run(acme: Tenant) -> None:
    on_record(acme)
    sweeper.sweep_all()  # sets a new epoch
    assert popped() == []
    the_epoch_is_old()
    sweeper.sweep_all()
    assert len(popped()) == 1


def test_other_pools_requests_are_not_touched(acme: Tenant, settings: Settings) -> None:
    settings.ENGINES = {**settings.ENGINES, "another": settings.ENGINES[POOL]}
    engines.forget()
    order = on_record(acme)
    Completion.objects.filter(id=order.id).update(pool="another")
    the_epoch_is_old()
    sweeper.sweep_all()
    assert popped() == []


def test_they_come_back_in_their_order(acme: Tenant) -> None:
    orders = [on_record(acme, age_s=20 - n) for n in range(6)]
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [order.id for order in orders]


def test_more_than_one_batch_comes_back(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "BATCH", 2)
    orders = [on_record(acme, age_s=20 - n) for n in range(5)]
    the_epoch_is_old()
    for _ in range(4):
        sweeper.sweep_all()
    assert set(ids(popped())) == {order.id for order in orders}


def test_one_whose_text_was_erased_does_not_come_back(acme: Tenant) -> None:
    erased, good = on_record(acme, age_s=9), on_record(acme)
    key = DataKey.objects.get(subject_id=erased.subject_id)
    keyring.forget(key.id)
    with connection.cursor() as cursor:
        cursor.execute("delete from audit_datakey where id = %s", [key.id])
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [good.id]


def test_one_that_cannot_be_read_does_not_stop_the_others(acme: Tenant) -> None:
    odd, good = on_record(acme, age_s=9), on_record(acme)
    cipher = keyring.of_subject_now(odd.tenant_id, odd.subject_id)
    place = request_rows.request_aad(odd.tenant_id.bytes, odd.id.bytes)
    ciphertext = cipher.encrypt(b"\x93from another version", place)
    with unguarded():
        Payload.objects.filter(request_id=odd.id).update(ciphertext=ciphertext)
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [good.id]


def compared(monkeypatch: pytest.MonkeyPatch) -> list[set[UUID]]:
    """Which requests each look compares with the queue."""
    looks: list[set[UUID]] = []
    unknown = restoring._unknown

    def noted(pool: str, ids: list[UUID]) -> list[UUID]:
        looks.append(set(ids))
        return unknown(pool, ids)

    monkeypatch.setattr(restoring, "_unknown", noted)
    return looks


def test_those_that_wait_for_long_are_compared_in_turn(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH", 2)
    orders = [on_record(acme, age_s=100 - n) for n in range(5)]
    for order in orders:
        enqueue(order)
    the_epoch_is_old()
    looks = compared(monkeypatch)
    sweeper.sweep_all()
    late = on_record(acme, age_s=20)  # it was long on its way
    for _ in range(6):
        sweeper.sweep_all()
    first, *turns = looks
    own = [order.id for order in orders]
    assert first == set(own)
    assert all(late.id in turn for turn in turns)
    assert [turn - {late.id} for turn in turns] == [
        {own[0], own[1]},
        {own[2], own[3]},
        {own[4]},
        set(),
        {own[0], own[1]},
        {own[2], own[3]},
    ]


def test_one_that_got_lost_alone_is_found_in_its_turn(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH", 2)
    orders = [on_record(acme, age_s=100 - n) for n in range(5)]
    for order in orders:
        enqueue(order)
    the_epoch_is_old()
    sweeper.sweep_all()
    client().hdel(f"{prefix(POOL)}:orders", str(orders[4].id))
    for _ in range(3):
        sweeper.sweep_all()
    assert (str(orders[4].id), 2) in {(item.id, item.attempt) for item, _ in popped()}


def test_when_redis_loses_everything_all_come_back_at_once(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH", 2)
    orders = [on_record(acme, age_s=100 - n) for n in range(5)]
    the_epoch_is_old()
    sweeper.sweep_all()
    forget_swept()
    sweeper.sweep_all()  # a new epoch
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [order.id for order in orders]


def test_when_redis_comes_back_with_older_data_what_is_missing_is_found_at_once(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH", 1)
    enqueue(oldest := on_record(acme, age_s=200))
    the_epoch_is_old()
    sweeper.sweep_all()
    kept = {key: client().dump(key) or b"" for key in client().scan_iter(f"{prefix(POOL)}:*")}
    later = [on_record(acme, age_s=5) for _ in range(3)]
    sweeper.sweep_all()
    forget_swept()
    for key, value in kept.items():
        client().restore(key, 0, value)
    sweeper.sweep_all()
    assert set(ids(popped())) == {oldest.id, *(order.id for order in later)}


def test_data_lost_while_it_compares_is_compared_again(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH", 1)
    orders = [on_record(acme, age_s=100 - n) for n in range(3)]
    for order in orders:
        enqueue(order)
    the_epoch_is_old()
    unknown = restoring._unknown

    def too_early(pool: str, asked: list[UUID]) -> list[UUID]:
        found = unknown(pool, asked)
        forget_swept()
        return found

    with monkeypatch.context() as lost:
        lost.setattr(restoring, "_unknown", too_early)
        sweeper.sweep_all()
    sweeper.sweep_all()  # a new epoch
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [order.id for order in orders]


# Leases -----------------------------------------------------------------------------------------
def test_a_dead_runners_lease_goes_back_and_somebody_is_called(
    acme: Tenant, wake_ups: list[str]
) -> None:
    order = on_record(acme)
    enqueue(order)
    popped(1)
    client().delete(f"{prefix(POOL)}:called")
    client().zadd(f"{prefix(POOL)}:leases", {str(order.item): 1})
    sweeper.sweep_all()
    assert wake_ups == [POOL]
    ((item, _),) = popped()
    assert item.attempt == 2


def test_a_broker_that_is_away_does_not_stop_the_sweep(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(worker: PoolWorker) -> None:
        raise OSError("no broker")

    monkeypatch.setattr("inference.queue.pool_workers._publish", away)
    order = on_record(acme)
    the_epoch_is_old()
    sweeper.sweep_all()
    assert ids(popped()) == [order.id]


# Revoked ----------------------------------------------------------------------------------------
def of_a_key(acme: Tenant, **changes: Any) -> tuple[Order, ApiKey]:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    return on_record(acme, charge=Charge(api_key_id=key.id), idempotent=True, **changes), key


def revoked_for(key: ApiKey, seconds: float) -> None:
    key.revoke(by="test")
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=at)


def expired_for(key: ApiKey, seconds: float) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=at)


@pytest.mark.parametrize("closed_for", [revoked_for, expired_for])
def test_an_orphan_ends_with_its_key(
    acme: Tenant, closed_for: Callable[[ApiKey, float], None]
) -> None:
    order, key = of_a_key(acme)
    enqueue(order)
    sweeper.sweep_all()
    assert Completion.objects.get().state == State.OPEN
    closed_for(key, 1)
    sweeper.sweep_all()
    assert Completion.objects.get().state == State.OPEN, "its web process has the first word"
    closed_for(key, 10)
    for _ in range(2):
        sweeper.sweep_all()
    usage = Usage.objects.get()
    assert (usage.finish_reason, usage.error_code) == ("cancelled", "access_revoked")
    assert popped() == []


def suspended(tenant: Tenant, key: ApiKey) -> None:
    tenant.suspend(by="test", reason="not paid")


def without_scopes(tenant: Tenant, key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(scopes=["audit:read"])


@pytest.mark.parametrize("shut_out", [suspended, without_scopes])
def test_an_orphan_ends_with_its_access(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, shut_out: Callable[[Tenant, ApiKey], None]
) -> None:
    order, key = of_a_key(acme)
    line, _ = of_a_key(acme, route="/v1/batches")
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(sweeper, "time", clock)
    for each in (order, line):
        enqueue(each)
    sweeper.sweep_all()
    shut_out(acme, key)
    for clock.now in (1010.0, 1012.0):
        sweeper.sweep_all()
        assert Completion.objects.open().count() == 2, "its web process has the first word"
    clock.now = 1014.0
    sweeper.sweep_all()
    assert Completion.objects.open().get().id == line.id, "the jobs process asks for it again"
    assert Usage.objects.get().error_code == "access_revoked"


def long_revoked(tenant: Tenant, key: ApiKey) -> None:
    revoked_for(key, 10)


@pytest.mark.parametrize("shut_out", [suspended, without_scopes, long_revoked])
def test_an_order_of_a_job_is_left_to_its_job(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, shut_out: Callable[[Tenant, ApiKey], None]
) -> None:
    """It pauses, or goes on with the key that replaced its own. One that manages asks nothing."""
    monkeypatch.setattr(sweeper, "AFTER", timedelta(0))
    order, key = of_a_key(acme, route=classes.JOB, klass="finetune")
    enqueue(order)
    shut_out(acme, key)
    for _ in range(3):
        sweeper.sweep_all()
    assert Completion.objects.get().state == State.OPEN


def test_one_that_runs_is_told_to_end(acme: Tenant) -> None:
    order, key = of_a_key(acme)
    enqueue(order)
    popped(1)
    revoked_for(key, 10)
    sweeper.sweep_all()
    assert Completion.objects.get().state == State.OPEN, "its runner settles it"
    assert client().lrange(f"{prefix(POOL)}:inbox:runner-1", 0, -1) == [
        f"cancel {order.id}".encode()
    ]


# Overdue ----------------------------------------------------------------------------------------
def test_an_overdue_request_is_closed_with_one_usage_row(acme: Tenant) -> None:
    order = on_record(acme, age_s=10_000)
    client().zadd(concurrency_key(str(acme.id)), {str(order.id): time.time() * 1000 + 60_000})
    enqueue(order)
    for _ in range(2):
        sweeper.sweep_all()
    completion = Completion.objects.get()
    assert completion.state == State.FAILED
    usage = Usage.objects.get()
    assert (usage.error_code, usage.finish_reason) == ("aborted", "error")
    assert (usage.prompt_tokens, usage.completion_tokens) == (0, 0)
    done = Event.objects.get(action="completion:completed")
    assert (done.success, done.status) == (False, 504)
    assert popped() == []
    assert client().zcard(concurrency_key(str(acme.id))) == 0


def test_one_that_is_not_quite_overdue_stays_open(acme: Tenant, settings: Settings) -> None:
    on_record(acme, age_s=settings.REQUEST_DEADLINE_S + 20)
    sweeper.sweep_all()
    assert Completion.objects.get().state == State.OPEN


def test_the_deadline_decides_and_not_the_age(acme: Tenant) -> None:
    long = on_record(acme, age_s=100_000, deadline=time.time() + 60)
    short = on_record(acme, age_s=100, deadline=time.time() - 40)
    sweeper.sweep_all()
    assert Completion.objects.get(id=long.id).state == State.OPEN
    assert Completion.objects.get(id=short.id).state == State.FAILED


def test_a_request_of_an_earlier_version_has_the_platforms_deadline(acme: Tenant) -> None:
    over, young = on_record(acme, age_s=10_000), on_record(acme, age_s=100)
    Completion.objects.update(deadline=None)
    sweeper.sweep_all()
    assert Completion.objects.get(id=over.id).state == State.FAILED
    assert Completion.objects.get(id=young.id).state == State.OPEN


def test_an_overdue_request_whose_text_was_erased_is_closed_too(acme: Tenant) -> None:
    order = on_record(acme, age_s=10_000)
    with unguarded():
        Payload.objects.filter(request_id=order.id).delete()
    sweeper.sweep_all()
    assert Completion.objects.get().state != State.OPEN
    assert Usage.objects.get().error_code == "aborted"


@pytest.mark.parametrize("end", ["overdue", "erasure"])
def test_one_whose_text_was_erased_gives_back_its_bytes_in_flight(acme: Tenant, end: str) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    age_s = 10_000 if end == "overdue" else 5
    body, charge = b"x" * 100_000, Charge(api_key_id=key.pk)
    order = on_record(acme, age_s=age_s, body=body, charge=charge)
    keys, arguments = reacquire_arguments(limit_usage.slot(order), 600)
    client().register_script(REACQUIRE.text)(keys=keys, args=arguments)
    owners = [concurrency_key(str(acme.pk)), concurrency_key(str(key.pk))]
    assert [client().hget(f"{owner}:bytes", "sum") for owner in owners] == [b"100000"] * 2
    with unguarded():
        Payload.objects.filter(request_id=order.id).delete()
    if end == "overdue":
        sweeper.sweep_all()
    else:
        settle_unrun.end(Completion.objects.get(), Outcome(state="cancelled", status=499))
    assert not any(client().exists(owner, f"{owner}:bytes") for owner in owners)
