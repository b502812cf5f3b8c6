"""Who decides on a deletion, by when, and what silence means."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.erasure import deletion, execution
from audit.erasure.deletion import AlreadyBegun, AlreadyDecided, SamePerson
from audit.models import DeletionMode, DeletionRequest, DeletionState, Event, Tombstone
from tenants.authentication.restriction import is_restricted

pytestmark = pytest.mark.django_db
State = DeletionState
acme, alice = uuid4(), uuid4()


def ask(**more: Any) -> DeletionRequest:
    return deletion.ask(acme, alice, **{"by": "member:1", "own": True, **more})


def age(request: DeletionRequest, **ago: int) -> None:
    asked_at = timezone.now() - timedelta(**ago)
    DeletionRequest.objects.filter(pk=request.pk).update(
        requested_at=asked_at, due_at=asked_at + deletion.DUE
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
    execution.run_clock()
    request.refresh_from_db()
    assert request.state == State.REQUESTED
    age(request, hours=24)
    execution.run_clock()
    request.refresh_from_db()
    assert (request.state, request.approved_by) == (State.APPROVED, deletion.SILENT)


def test_an_operator_can_let_no_time_pass(settings: Any) -> None:
    settings.DELETION_SILENCE_H = 0
    request = ask()
    execution.run_clock()
    request.refresh_from_db()
    assert request.state == State.APPROVED


def test_an_alert_once_at_48_hours(settings: Any) -> None:
    settings.DELETION_SILENCE_H = 100
    request = ask()
    age(request, hours=47)
    execution.run_clock()
    assert not Event.objects.filter(action=Action.DELETION_LATE).exists()
    age(request, hours=48)
    for _ in range(2):
        execution.run_clock()
    late = Event.objects.get(action=Action.DELETION_LATE)
    assert late.detail["request"] == str(request.pk)
    request.refresh_from_db()
    assert request.alerted_at


def test_what_waits_for_a_hold_is_not_late() -> None:
    request = ask()
    DeletionRequest.objects.filter(pk=request.pk).update(state=State.HELD)
    assert execution.nearly_late(timezone.now() + timedelta(hours=71)) == []


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="shred"):
        ask(mode="shred")
    assert ask(mode=DeletionMode.RESTRICT).mode == "restrict"


# Who asked for whom ------------------------------------------------------------------------------
def test_nobody_is_erased_by_silence_for_who_is_not_them(settings: Any) -> None:
    """A program asked, or somebody who could not decide alone."""
    settings.DELETION_SILENCE_H = 0
    request = ask(by="key:1", own=False, removes=True)
    age(request, hours=100)
    execution.run_clock()
    request.refresh_from_db()
    assert request.state == State.REQUESTED
    assert Event.objects.filter(action=Action.DELETION_LATE).count() == 1
    deletion.approve(request, by="member:2")
    assert request.state == State.APPROVED


def test_who_could_not_decide_alone_does_not_approve_it_later() -> None:
    request = ask(own=False)
    with pytest.raises(SamePerson):
        deletion.approve(request, by="member:1")
    deletion.approve(request, by="member:2")


def test_a_program_adds_nothing_to_what_a_person_asked_for() -> None:
    request = ask()
    ask(by="key:1", own=False, removes=True)
    request.refresh_from_db()
    assert (request.removes, request.by_subject) == (False, True)


def test_a_removal_is_added_to_an_open_request_and_recorded() -> None:
    request = ask()
    assert ask(by="member:2", own=False, decides=True, removes=True).removes
    request.refresh_from_db()
    assert (request.removes, request.approved_by) == (True, "member:2")
    last = Event.objects.filter(action=Action.DELETION_REQUEST).order_by("id").last()
    assert last
    assert (last.actor, last.detail["removes"]) == ("member:2", "True")


def test_it_is_too_late_to_add_a_removal_when_erasing_has_begun() -> None:
    request = ask(decides=True)
    execution.advance(request.pk)
    with pytest.raises(AlreadyBegun):
        ask(removes=True)


def test_asked_by_a_program_and_then_by_the_person_it_is_theirs(settings: Any) -> None:
    """Nobody takes the right to silence away by asking first."""
    first = ask(own=False, by="key:1")
    age(first, hours=60)
    own = ask(reason="I leave", by="member:9")
    assert (own.pk, own.by_subject, own.requested_by) == (first.pk, True, "member:9")
    assert own.due_at - timezone.now() > timedelta(hours=71)
    age(own, hours=25)
    execution.run_clock()
    own.refresh_from_db()
    assert (own.state, own.approved_by) == (State.APPROVED, deletion.SILENT)


# Restrictions ------------------------------------------------------------------------------------
def restricted() -> DeletionRequest:
    request = ask(decides=True, mode=DeletionMode.RESTRICT)
    execution.advance(request.pk)
    request.refresh_from_db()
    assert deletion.restricts(request)
    return request


def test_an_erasure_during_a_restriction_has_its_own_clock_and_approval() -> None:
    request = restricted()
    age(request, hours=200)
    again = ask(reason="all of it", removes=True)
    assert (again.mode, again.state, again.removes) == ("erase", State.REQUESTED, True)
    assert again.due_at - timezone.now() > timedelta(hours=71)
    assert ask().pk == again.pk  # asked once more it is the same
    deletion.approve(again, by="member:2")
    request.refresh_from_db()
    assert deletion.restricts(request)  # until all is gone
    assert request.approved_by == "member:1"


def test_refused_the_restriction_goes_on() -> None:
    request = restricted()
    again = ask()
    deletion.refuse(again, by="member:2", answer="a contract runs")
    request.refresh_from_db()
    assert (again.state, request.state) == (State.REFUSED, State.RUNNING)
    assert deletion.is_restricted(request)


def test_the_erasure_closes_the_restriction(monkeypatch: pytest.MonkeyPatch) -> None:
    request, again = restricted(), ask(decides=True)
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    execution.work()
    request.refresh_from_db()
    again.refresh_from_db()
    assert (request.state, again.state) == (State.DONE, State.DONE)
    assert request.certificate == again.certificate
    assert not request.steps.filter(finished_at=None).exists()
    assert Event.objects.filter(action=Action.DELETION_FINISH).count() == 2
    assert Tombstone.objects.get().request_id == again.pk


@pytest.mark.parametrize("own", [True, False])
def test_under_a_hold_a_restriction_stays_whatever_is_approved(own: bool) -> None:
    """Neither the bar on the keys nor the refusal at authentication goes before the keys do."""
    request = restricted()
    again = ask(own=own, by="key:1")
    until = timezone.now() + timedelta(days=30)
    for one in (request, again):
        deletion.hold(one, SimpleNamespace(id=uuid4(), expires_at=until))
    deletion.approve(again, by="member:2")
    with connection.cursor() as cursor:
        cursor.execute("select audit_barred(%s, %s)", [acme, alice])
        assert cursor.fetchone()[0]
    assert is_restricted(acme, alice)


def test_who_waits_for_an_answer_does_not_keep_a_restriction_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program asked to erase, and nobody decided: retention ends all the same."""
    request, asked = restricted(), ask(own=False, by="key:1")
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    long_ago = timezone.now() - timedelta(days=500)
    DeletionRequest.objects.filter(pk=request.pk).update(started_at=long_ago)
    execution.work()
    request.refresh_from_db()
    asked.refresh_from_db()
    assert (request.state, asked.state) == (State.DONE, State.DONE)


def test_a_program_changes_nothing_about_an_approved_restriction() -> None:
    request = ask(decides=True, mode=DeletionMode.RESTRICT)
    ask(own=False, by="key:1", removes=True)
    request.refresh_from_db()
    assert (request.state, request.mode, request.removes) == (State.APPROVED, "restrict", False)


def test_a_restriction_can_be_lifted() -> None:
    request = restricted()
    with pytest.raises(ValidationError):
        deletion.lift(request, by="member:2", answer="")
    deletion.lift(request, by="member:2", answer="settled")
    assert (request.state, request.answer) == (State.REFUSED, "settled")
    assert deletion.was_lifted(request)
    assert Event.objects.filter(action=Action.DELETION_LIFT).count() == 1
    with pytest.raises(AlreadyDecided):
        deletion.lift(request, by="member:2", answer="again")
    with pytest.raises(AlreadyDecided):
        deletion.lift(ask(decides=True), by="member:2", answer="an erasure")


def test_it_is_too_late_to_lift_when_retention_has_ended() -> None:
    request = restricted()
    started_at = timezone.now() - timedelta(days=500)
    DeletionRequest.objects.filter(pk=request.pk).update(started_at=started_at)
    with pytest.raises(AlreadyBegun):
        deletion.lift(request, by="member:2", answer="settled")


def test_once_it_erases_a_longer_retention_does_not_stop_it() -> None:
    request = restricted()
    Tombstone.objects.create(
        tenant_id=acme, subject_id=alice, request_id=request.pk, at=timezone.now(), signature=b"x"
    )
    assert not deletion.is_restricted(request)
    with pytest.raises(AlreadyBegun):
        deletion.lift(request, by="member:2", answer="settled")


def test_a_restriction_that_began_late_is_nothing_to_worry_about() -> None:
    request = ask(mode=DeletionMode.RESTRICT)
    age(request, hours=49)
    deletion.mark_late(request)
    deletion.approve(request, by="member:2")
    execution.advance(request.pk)
    request.refresh_from_db()
    assert (deletion.restricts(request), request.alerted_at) == (True, None)


def test_an_erasure_after_a_restriction_is_alerted_of() -> None:
    request = restricted()
    ends = deletion.restricted_until(request)
    assert execution.nearly_late(ends + timedelta(hours=47)) == []
    assert execution.nearly_late(ends + timedelta(hours=48)) == [request]


# Legal holds -------------------------------------------------------------------------------------
def test_a_hold_that_comes_later_stops_the_clock_of_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = ask()
    age(request, hours=30)
    kept = SimpleNamespace(id=uuid4(), expires_at=timezone.now() + timedelta(days=30))
    monkeypatch.setattr("audit.retention.legal_hold.in_force", lambda *_: kept)
    execution.run_clock()
    request.refresh_from_db()
    assert (request.state, request.approved_at) == (State.HELD, None)


def test_the_clock_stands_still_under_a_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask()
    due = request.due_at
    until = timezone.now() + timedelta(days=30)
    deletion.hold(request, SimpleNamespace(id=uuid4(), expires_at=until))
    DeletionRequest.objects.filter(pk=request.pk).update(
        held_at=timezone.now() - timedelta(days=30)
    )
    execution.run_clock()
    request.refresh_from_db()
    assert (request.state, request.held_at) == (State.REQUESTED, None)
    assert request.due_at - due >= timedelta(days=30)
    assert execution.nearly_late(timezone.now() + timedelta(hours=47)) == []
