"""Who decides on a deletion, by when, and what silence means."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit import deletion, execution
from audit.actions import Action
from audit.deletion import AlreadyBegun, AlreadyDecided
from audit.models import DeletionMode, DeletionRequest, DeletionState, Event

pytestmark = pytest.mark.django_db
State = DeletionState
acme, alice = uuid4(), uuid4()


def ask(**more: Any) -> DeletionRequest:
    return deletion.ask(acme, alice, by="member:1", **more)


def age(request: DeletionRequest, **ago: int) -> None:
    DeletionRequest.objects.filter(pk=request.pk).update(
        requested_at=timezone.now() - timedelta(**ago)
    )


def test_a_request_waits_and_is_due_in_72_hours() -> None:
    request = ask(reason="I leave")
    assert request.state == State.REQUESTED
    assert request.due_at - request.requested_at == timedelta(hours=72)
    event = Event.objects.get(action=Action.DELETION_REQUEST)
    assert (event.tenant_id, event.subject_id, event.actor) == (acme, alice, "member:1")


def test_the_same_request_twice_is_the_same_one() -> None:
    assert ask().pk == ask().pk
    assert Event.objects.filter(action=Action.DELETION_REQUEST).count() == 1


def test_who_may_decide_asks_and_decides_in_one() -> None:
    request = ask(decides=True)
    assert (request.state, request.approved_by) == (State.APPROVED, "member:1")


def test_who_may_decide_decides_by_asking_again() -> None:
    first = ask()
    again = deletion.ask(acme, alice, by="member:2", decides=True)
    assert (again.pk, again.state, again.approved_by) == (first.pk, State.APPROVED, "member:2")


def test_a_refused_one_can_be_asked_again() -> None:
    request = ask()
    deletion.refuse(request, by="member:2", answer="You are a key witness.")
    assert (request.state, request.answer) == (State.REFUSED, "You are a key witness.")
    assert ask().pk != request.pk


def test_a_refusal_says_why() -> None:
    with pytest.raises(ValidationError):
        deletion.refuse(ask(), by="member:2", answer="  ")
    with pytest.raises(ValidationError):
        deletion.refuse(ask(), by="member:2", answer="x" * 501)


def test_nobody_decides_twice() -> None:
    request = ask()
    deletion.approve(request, by="member:2")
    with pytest.raises(AlreadyDecided):
        deletion.approve(request, by="member:3")
    deletion.refuse(request, by="member:3", answer="after all")  # it has not begun
    with pytest.raises(AlreadyDecided):
        deletion.refuse(request, by="member:3", answer="again")


def test_what_has_begun_cannot_be_refused() -> None:
    request = ask(decides=True)
    execution.advance(request.pk)
    with pytest.raises(AlreadyBegun):
        deletion.refuse(request, by="member:3", answer="too late")


def test_silence_is_consent_after_24_hours(settings: Any) -> None:
    request = ask()
    age(request, hours=23)
    execution.wind_the_clock()
    request.refresh_from_db()
    assert request.state == State.REQUESTED
    age(request, hours=24)
    execution.wind_the_clock()
    request.refresh_from_db()
    assert (request.state, request.approved_by) == (State.APPROVED, deletion.SILENT)


def test_an_operator_can_let_no_time_pass(settings: Any) -> None:
    settings.DELETION_SILENCE_H = 0
    request = ask()
    execution.wind_the_clock()
    request.refresh_from_db()
    assert request.state == State.APPROVED


def test_an_alert_once_at_48_hours(settings: Any) -> None:
    settings.DELETION_SILENCE_H = 100
    request = ask()
    age(request, hours=47)
    execution.wind_the_clock()
    assert not Event.objects.filter(action=Action.DELETION_LATE).exists()
    age(request, hours=48)
    for _ in range(2):
        execution.wind_the_clock()
    late = Event.objects.get(action=Action.DELETION_LATE)
    assert late.detail["request"] == str(request.pk)
    request.refresh_from_db()
    assert request.alerted_at


def test_what_waits_for_a_hold_is_not_late() -> None:
    request = ask()
    DeletionRequest.objects.filter(pk=request.pk).update(state=State.HELD)
    assert execution.late_ones(timezone.now() + timedelta(hours=71)) == []


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="shred"):
        ask(mode="shred")
    assert ask(mode=DeletionMode.RESTRICT).mode == "restrict"
