"""What waits goes to a lower class: record and queue agree, whatever is lost in between."""

from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError

from audit.models import Event
from inference.models import Completion, Usage
from inference.order import Order
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.queue_control import cancelling, lowering
from inference.queue_control.lowering import lower
from inference.record import settle_unrun
from inference.record.outcome import Outcome
from inference.worker.recovery.sweeper import sweep_all
from tenants.models import Tenant
from tests.inference.lines.conftest import Waits, in_queue, lost, popped

BY = "test"


def all_of(pool: str, tenant: Tenant, klass: str = "realtime", most: int = 500) -> Any:
    return cancelling.chosen_line(pool, klass, tenant.id, most)


def classes_of(orders: list[Order]) -> set[str]:
    ids = [order.id for order in orders]
    return set(Completion.objects.filter(pk__in=ids).values_list("klass", flat=True))


def in_turn(pool: str) -> list[tuple[str, UUID]]:
    """What waits, in the order in which it begins."""
    return [(item.klass, UUID(item.id)) for item in popped(pool)]


def waiting_in(pool: str) -> dict[str, int]:
    line = in_queue(pool, lambda queue: queue.look())
    return {name: n for name, n in line.waiting.items() if n}


def test_a_tenants_requests_go_behind_those_of_others(
    waits: Waits, pool: str, acme: Tenant
) -> None:
    globex = Tenant.open("globex", by=BY)
    own, other = [waits() for _ in range(3)], waits(globex)
    assert lower(all_of(pool, acme), "batch", by=BY) == 3
    assert classes_of(own) == {"batch"}
    assert waiting_in(pool) == {"realtime": 1, "batch": 3}
    batch = [("batch", order.id) for order in own]
    assert in_turn(pool) == [("realtime", other.id), *batch]


def test_one_request(waits: Waits, pool: str, acme: Tenant) -> None:
    first, second = waits(), waits()
    chosen = cancelling.chosen_request(pool, first.id)
    assert chosen
    assert lower(chosen, "batch", by=BY) == 1
    assert in_turn(pool) == [("realtime", second.id), ("batch", first.id)]
    event = Event.objects.get(action="queue:lower")
    assert (event.actor, event.tenant_id) == (BY, acme.id)
    told = {"pool": pool, "from": "realtime", "to": "batch", "requests": 1}
    assert event.detail == {**told, "request_ids": [str(first.id)]}


def test_up_to_so_many_at_once(waits: Waits, pool: str, acme: Tenant) -> None:
    orders = [waits() for _ in range(3)]
    chosen = all_of(pool, acme, most=2)
    assert chosen.more == 1
    assert lower(chosen, "batch", by=BY) == 2
    assert waiting_in(pool) == {"realtime": 1, "batch": 2}
    assert in_turn(pool)[0] == ("realtime", orders[2].id)


@pytest.mark.parametrize("to", ["realtime", "nothing"])
def test_never_up(waits: Waits, pool: str, acme: Tenant, to: str) -> None:
    order = waits(klass="batch")
    with pytest.raises(ValidationError, match=f"{to} is not below batch"):
        lower(all_of(pool, acme, "batch"), to, by=BY)
    assert classes_of([order]) == {"batch"}


def test_what_runs_is_finished_where_it_is(waits: Waits, pool: str, acme: Tenant) -> None:
    orders = [waits(), waits()]
    chosen = all_of(pool, acme)
    (begun,) = popped(pool, 1)
    lower(chosen, "batch", by=BY)
    assert waiting_in(pool) == {"batch": 1}
    client().zadd(f"{prefix(pool)}:leases", {str(begun): 0})  # its runner died
    sweep_all()
    assert waiting_in(pool) == {"batch": 2}
    assert sorted(in_turn(pool)) == sorted(("batch", order.id) for order in orders)


def test_killed_between_record_and_queue(
    waits: Waits, pool: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [waits() for _ in range(3)]
    monkeypatch.setattr(lowering, "demote", lambda *_all: [])
    lower(all_of(pool, acme), "batch", by=BY)
    monkeypatch.undo()
    assert waiting_in(pool) == {"realtime": 3}
    for _ in range(2):
        sweep_all()
        assert waiting_in(pool) == {"batch": 3}
    assert sorted(in_turn(pool)) == sorted(("batch", order.id) for order in orders)


def test_redis_loses_it_all(waits: Waits, pool: str, acme: Tenant) -> None:
    own, other = waits(), waits()
    chosen = cancelling.chosen_request(pool, own.id)
    assert chosen
    lower(chosen, "batch", by=BY)
    lost(pool)
    sweep_all()  # an epoch begins
    client().set(f"{prefix(pool)}:epoch", 1)
    sweep_all()
    assert in_turn(pool) == [("realtime", other.id), ("batch", own.id)]


def test_what_cannot_be_put_on_record_is_not_moved(
    waits: Waits, pool: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = waits()

    def full(*_all: Any, **_more: Any) -> None:
        raise OSError("no room for another event")

    monkeypatch.setattr(lowering, "act", full)
    with pytest.raises(OSError, match="no room"):
        lower(all_of(pool, acme), "batch", by=BY)
    assert classes_of([order]) == {"realtime"}
    assert waiting_in(pool) == {"realtime": 1}


def test_twice_and_further_down(waits: Waits, pool: str, acme: Tenant) -> None:
    order = waits()
    chosen = all_of(pool, acme)
    assert lower(chosen, "batch", by=BY) == 1
    assert lower(chosen, "batch", by=BY) == 0  # as it was known
    assert lower(all_of(pool, acme, "batch"), "preprocess", by=BY) == 1
    assert waiting_in(pool) == {"preprocess": 1}
    assert in_turn(pool) == [("preprocess", order.id)]


def test_what_came_back_to_the_head_is_found(waits: Waits, pool: str, acme: Tenant) -> None:
    order = waits()
    (begun,) = popped(pool, 1)
    client().zadd(f"{prefix(pool)}:leases", {str(begun): 0})
    sweep_all()
    chosen = cancelling.chosen_request(pool, order.id)
    assert chosen
    lower(chosen, "batch", by=BY)
    (item,) = popped(pool)
    assert (item.klass, item.attempt, item.id) == ("batch", 2, str(order.id))


def test_whose_turn_it_is_stays_fair(waits: Waits, pool: str, acme: Tenant) -> None:
    """Coming into a class earns no credit for the time before."""
    globex = Tenant.open("globex", by=BY)
    for _ in range(4):
        waits(globex, klass="batch")
    popped(pool, 2)
    for _ in range(2):
        waits()
    lower(all_of(pool, acme), "batch", by=BY)
    tenants = [item.tenant for item in popped(pool)]
    assert sorted(tenants[:2]) == sorted([str(acme.id), str(globex.id)])


def test_its_usage_names_the_class_in_which_it_ended(waits: Waits, pool: str, acme: Tenant) -> None:
    order = waits()
    lower(all_of(pool, acme), "batch", by=BY)
    settle_unrun.end(Completion.objects.get(pk=order.id), Outcome(state="cancelled", status=499))
    assert Usage.objects.get().klass == "batch"
    assert waiting_in(pool) == {}
