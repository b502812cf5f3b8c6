"""An event that vanishes between its commit and its seal is an alarm, on record once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import transaction
from redis.exceptions import ConnectionError as Away

from audit.actions import Action
from audit.models import Event
from audit.proof import vanished
from audit.proof.seal import seal_due
from audit.trail import unsealed_notes
from audit.trail.record import act
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root() -> Iterator[psycopg.Connection[Any]]:
    unsealed_notes._redis().delete(unsealed_notes.KEY)
    vanished._Watch.cursor, vanished._Watch.reported_late = 0, False
    with superuser() as root:
        empty(root)
        root.commit()
        yield root
    unsealed_notes._redis().delete(unsealed_notes.KEY)


@contextmanager
def held_open(root: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that has written something: nothing later comes under seal."""
    with psycopg.connect(root.info.dsn, password=root.info.password) as other:
        other.execute("select pg_current_xact_id()")
        yield


def alarms() -> list[str]:
    drifts = Event.objects.filter(action=Action.AUDIT_DRIFT, actor=vanished.BY).order_by("id")
    return [problem for event in drifts for problem in event.detail["problems"]]


def test_what_stays_is_forgotten_once_it_is_under_seal(root: psycopg.Connection[Any]) -> None:
    detail = {"name": "Zoë", "n": 1.50, "days": [200, 400], "more": {"b": None, "a": True}}
    act(Action.TENANT_CHANGE, actor="test", tenant_id=ACME, client_net="2001:db8::", detail=detail)
    assert unsealed_notes.count() == 1
    assert vanished.look() == []
    assert unsealed_notes.count() == 1
    assert seal_due()
    assert vanished.look() == []
    assert unsealed_notes.count() == 0


def test_what_was_rolled_back_was_never_there(root: psycopg.Connection[Any]) -> None:
    with transaction.atomic():
        act(Action.TENANT_CHANGE, actor="test")
        transaction.set_rollback(True)
    assert unsealed_notes.count() == 0


@pytest.mark.parametrize("how", ["delete from audit_event", "update audit_event set actor = 'x'"])
def test_an_act_that_vanishes_is_told_once(root: psycopg.Connection[Any], how: str) -> None:
    """At once, and however long somebody holds seals up."""
    act(Action.TENANT_CHANGE, actor="test", tenant_id=ACME)
    act(Action.TENANT_CREATE, actor="test", tenant_id=ACME)
    with held_open(root):
        root.execute(f"{how} where action = 'tenant:change'")
        root.commit()
        seal_due()
        (told,) = vanished.look()
        assert vanished.look() == []
    assert told.startswith("event ")
    assert "tenant:change" in told
    assert told.endswith(
        f"{'is gone' if how.startswith('delete') else 'is not what was written'}, "
        "before it came under seal"
    )
    assert alarms() == [told]
    seal_due()
    assert vanished.look() == []
    assert unsealed_notes.count() == 0


def test_what_waits_is_remembered_whoever_wrote_it(
    root: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests leave nothing as they commit; the sealer sees them before it may seal them."""
    monkeypatch.setattr(vanished, "NOTED_AFTER_S", 0.0)
    monkeypatch.setattr(vanished, "LATE_S", 1e9)
    trail = Trail(root)
    with held_open(root):
        gone, _stays = trail.write(tenant_id=ACME), trail.write(tenant_id=ACME)
        root.commit()
        assert vanished.look() == []
        assert unsealed_notes.count() == 2
        root.execute("delete from audit_event where id = %s", [gone])
        root.commit()
        (told,) = vanished.look()
    assert told.startswith(f"event {gone} ")
    seal_due()
    vanished.look()
    seal_due()
    assert vanished.look() == []
    assert unsealed_notes.count() == 0


def test_a_seal_that_does_not_come_is_told_once(
    root: psycopg.Connection[Any],
) -> None:
    trail = Trail(root)  # its events are half an hour old
    with held_open(root):
        trail.write(tenant_id=ACME)
        root.commit()
        seal_due()
        for _ in range(2):
            assert vanished.look() == []
        (told,) = alarms()
        assert "a transaction has been open for long" in told
    assert seal_due() == 2
    vanished.look()
    assert len(alarms()) == 1


def test_without_redis_acts_stand(
    root: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    class Gone:
        def __getattr__(self, name: str) -> Any:
            raise Away("no Redis")

    with monkeypatch.context() as patched:
        patched.setattr(unsealed_notes, "_redis", Gone)
        patched.setattr(unsealed_notes, "_warned_at", float("-inf"))
        act(Action.TENANT_CHANGE, actor="test")
        assert vanished.look() == []
    assert caplog.text.count("cannot note unsealed events") == 1
    assert Event.objects.filter(action=Action.TENANT_CHANGE).exists()
