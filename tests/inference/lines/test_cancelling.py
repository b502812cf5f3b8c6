"""An operator cancels what waits: it ends once, and whoever waits for it is told."""

from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from redis import RedisError

from audit.models import Event
from inference.models import Completion, State, Usage
from inference.queue import fair_queue
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.queue_control import cancelling
from inference.queue_control.cancelling import cancel
from inference.stream import frames
from inference.worker.recovery.restoring import restore
from inference.worker.recovery.sweeper import sweep_all
from tenants.models import Tenant
from tests.inference.lines.conftest import Waits, in_queue, popped

BY = "test"


def test_what_a_tenant_has_waiting(waits: Waits, pool: str, acme: Tenant) -> None:
    order = waits(reply_to=f"web-{uuid4().hex}")
    waits()
    stays = waits(klass="batch")
    assert cancel(cancelling.chosen_line(pool, "realtime", acme.id, 100), by=BY) == 2
    assert {row.error_code for row in Usage.objects.all()} == {"cancelled_by_operator"}
    assert not client().llen(f"{prefix(pool)}:realtime:line:{acme.id}")
    assert [item.id for item in popped(pool)] == [str(stays.id)]
    channel = frames.channel(order.reply_to)
    told: Any = client().xrange(channel)
    client().delete(channel)
    (frame,) = frames.decrypted(told[0][1][b"f"], channel.encode())
    assert (frame.id, frame.kind, frame.status) == (order.id.bytes, frames.Kind.ERROR, 403)
    assert b"an operator of this platform cancelled" in frame.body
    event = Event.objects.get(action="queue:cancel")
    assert (event.actor, event.tenant_id, event.detail["requests"]) == (BY, acme.id, 2)
    sweep_all()
    assert Usage.objects.count() == 2


def test_what_was_cancelled_before_redis_fails_is_over(
    waits: Waits, pool: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits()
    waits()
    chosen, answers = cancelling.chosen_line(pool, "realtime", acme.id, 100), iter([True, False])
    run = fair_queue.run_blocking

    def answers_once(*arguments: Any) -> Any:
        if not next(answers):
            raise RedisError
        return run(*arguments)

    monkeypatch.setattr(cancelling, "run_blocking", answers_once)
    assert cancel(chosen, by=BY) == 1
    assert [row.error_code for row in Usage.objects.all()] == ["cancelled_by_operator"]
    assert Completion.objects.open().count() == 1
    assert Event.objects.get(action="queue:cancel").detail["requests"] == 1
    restore(pool)
    assert client().hlen(f"{prefix(pool)}:orders") == 1, "nothing puts it back"
    with pytest.raises(RedisError):
        monkeypatch.setattr(cancelling, "run_blocking", Mock(side_effect=RedisError))
        cancel(chosen, by=BY)


def test_one_that_has_begun_is_told_to_end(waits: Waits, pool: str) -> None:
    order = waits()
    chosen = cancelling.chosen_request(pool, order.id)
    popped(pool)
    assert chosen
    assert cancel(chosen, by=BY) == 1
    note = in_queue(pool, lambda queue: queue.inbox("gpu-1-0"))
    assert note == f"cancel {order.id}".encode()
    assert Completion.objects.get(pk=order.id).state == State.OPEN  # its runner settles it


def test_one_that_is_parked_meanwhile_stays_in_its_line(waits: Waits, pool: str) -> None:
    order = waits(klass="batch")
    chosen = cancelling.chosen_request(pool, order.id)
    (item,) = popped(pool)
    line = f"{prefix(pool)}:batch:line:{item.tenant}"
    client().rpush(line, str(item))  # as park.lua does, once the note is out
    assert chosen
    assert cancel(chosen, by=BY) == 1
    assert client().llen(line) == 1


def test_what_is_over_or_elsewhere_is_nobodys(waits: Waits, pool: str) -> None:
    order = waits()
    chosen = cancelling.chosen_request(pool, order.id)
    assert chosen
    assert cancelling.chosen_request("another", order.id) is None
    assert cancel(chosen, by=BY) == 1
    assert cancel(chosen, by=BY) == 0
    assert cancelling.chosen_request(pool, order.id) is None
    assert Event.objects.filter(action="queue:cancel").count() == 1
