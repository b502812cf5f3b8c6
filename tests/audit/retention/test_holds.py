"""Legal holds: two people, a year at most, in force at once, and over by themselves."""

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError
from django.utils import timezone

from audit.models import Event, LegalHold
from audit.retention import legal_hold

pytestmark = pytest.mark.django_db
TENANT, OTHER, SUBJECT = uuid4(), uuid4(), uuid4()


def soon(**more: int) -> datetime:
    return timezone.now() + timedelta(**(more or {"days": 30}))


def placed(tenant: UUID = TENANT, **given: Any) -> LegalHold:
    given = {"by": "user:1", "reason": "Case 4711", "expires_at": soon(), **given}
    return legal_hold.request(tenant, **given)


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def words() -> list[str]:
    events = Event.objects.filter(action__startswith="hold:").order_by("id")
    return [event.action for event in events]


def test_it_holds_from_the_request_on() -> None:
    assert legal_hold.in_force(TENANT) is None
    hold = placed()
    assert legal_hold.in_force(TENANT) == hold
    assert legal_hold.in_force(TENANT, SUBJECT) == hold
    assert legal_hold.in_force(OTHER) is None


def test_of_one_subject_it_holds_nobody_else() -> None:
    hold = placed(subject_id=SUBJECT)
    assert legal_hold.in_force(TENANT, SUBJECT) == hold
    assert legal_hold.in_force(TENANT, uuid4()) is None
    assert legal_hold.in_force(TENANT) == hold  # the tenant as a whole is not free


def test_without_approval_it_ends_after_72_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = placed()
    begins = hold.requested_at
    at(monkeypatch, begins + timedelta(hours=71, minutes=59))
    assert legal_hold.in_force(TENANT)
    at(monkeypatch, begins + timedelta(hours=72, seconds=1))
    assert legal_hold.in_force(TENANT) is None
    with pytest.raises(legal_hold.Ended):
        legal_hold.approve(hold, by="user:2")


def test_approved_it_stays_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = placed()
    legal_hold.approve(hold, by="user:2")
    at(monkeypatch, hold.expires_at - timedelta(seconds=1))
    assert legal_hold.in_force(TENANT) == hold
    at(monkeypatch, hold.expires_at)
    assert legal_hold.in_force(TENANT) is None


def test_another_person_approves() -> None:
    hold = placed(by="member:a", person="user:1")
    with pytest.raises(legal_hold.SamePerson):  # in another role
        legal_hold.approve(hold, by="operator:1", person="user:1")
    legal_hold.approve(hold, by="member:b", person="user:2")
    assert (hold.requested_by, hold.approved_by) == ("user:1", "user:2")
    with pytest.raises(legal_hold.AlreadyApproved):
        legal_hold.approve(hold, by="member:c", person="user:3")


def test_the_database_wants_two_people_too() -> None:
    hold = placed()
    now = timezone.now()
    with pytest.raises(IntegrityError, match="audit_hold_two_people"), transaction.atomic():
        LegalHold.objects.filter(pk=hold.pk).update(approved_by="user:1", approved_at=now)


@pytest.mark.parametrize("days", [-1, 0, 366])
def test_it_expires_within_a_year(days: int) -> None:
    with pytest.raises(ValidationError):
        placed(expires_at=soon(days=days))
    assert words() == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_is_given(reason: str) -> None:
    with pytest.raises(ValidationError):
        placed(reason=reason)


def test_it_is_renewed_for_at_most_a_year_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = placed(expires_at=soon(days=300))
    legal_hold.approve(hold, by="user:2")
    at(monkeypatch, hold.requested_at + timedelta(days=200))
    with pytest.raises(ValidationError):
        legal_hold.renew(hold, by="user:2", expires_at=soon(days=366))
    with pytest.raises(ValidationError):
        legal_hold.renew(hold, by="user:2", expires_at=soon(days=10))  # shorter than it is
    legal_hold.renew(hold, by="user:2", expires_at=soon(days=365))
    at(monkeypatch, hold.requested_at + timedelta(days=500))
    assert legal_hold.in_force(TENANT) == hold
    assert hold.renewed == 1


def test_over_it_is_neither_renewed_nor_released(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = placed(expires_at=soon(days=10))
    legal_hold.approve(hold, by="user:2")
    at(monkeypatch, hold.expires_at + timedelta(seconds=1))
    with pytest.raises(legal_hold.Ended):
        legal_hold.renew(hold, by="user:2", expires_at=soon(days=10))
    with pytest.raises(legal_hold.Ended):
        legal_hold.release(hold, by="user:2", reason="over")


def released(hold: LegalHold) -> None:
    legal_hold.release(hold, by="user:8", reason="The case is closed.")
    legal_hold.release(hold, by="user:9")


def test_released_it_is_over_at_once() -> None:
    hold = placed()
    released(hold)
    assert legal_hold.in_force(TENANT) is None
    with pytest.raises(legal_hold.Ended):
        legal_hold.release(hold, by="user:2", reason="again")


def test_nobody_releases_it_alone() -> None:
    hold = placed(by="member:a", person="user:1")
    legal_hold.approve(hold, by="member:b", person="user:2")
    with pytest.raises(ValidationError):
        legal_hold.release(hold, by="member:a", person="user:1")
    assert not legal_hold.release(hold, by="member:a", person="user:1", reason="closed")
    with pytest.raises(legal_hold.SamePerson):  # in another role
        legal_hold.release(hold, by="operator:1", person="user:1", reason="closed")
    assert legal_hold.in_force(TENANT) == hold
    assert legal_hold.release(hold, by="member:b", person="user:2")
    assert (hold.release_asked_by, hold.released_by) == ("user:1", "user:2")
    assert legal_hold.in_force(TENANT) is None
    assert words()[-2:] == ["hold:ask_release", "hold:release"]
    assert Event.objects.get(action="hold:ask_release").detail["reason"] == "closed"


@pytest.mark.parametrize(
    "change",
    [
        "released_by = 'user:1', released_at = now()",
        "release_asked_by = 'user:1', release_asked_at = now(), released_by = 'user:2', "
        "released_at = now()",
    ],
)
def test_the_database_wants_a_release_asked_for_and_approved(change: str) -> None:
    hold = placed()
    legal_hold.release(hold, by="user:1", reason="closed")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"update audit_legalhold set {change} where id = %s", [hold.pk])
    assert legal_hold.in_force(TENANT) == hold


def test_a_renewal_takes_back_what_was_asked() -> None:
    hold = placed()
    legal_hold.release(hold, by="user:1", reason="closed")
    legal_hold.renew(hold, by="user:2", expires_at=soon(days=60))
    assert not legal_hold.release(hold, by="user:3", reason="closed")


def test_nobody_renews_it_twice_running() -> None:
    hold = placed(by="member:a", person="user:1")
    legal_hold.approve(hold, by="user:2")
    with pytest.raises(legal_hold.SamePerson):
        legal_hold.renew(hold, by="operator:1", person="user:1", expires_at=soon(days=60))
    legal_hold.renew(hold, by="user:2", expires_at=soon(days=60))
    with pytest.raises(legal_hold.SamePerson):
        legal_hold.renew(hold, by="user:2", expires_at=soon(days=90))
    longer = "expires_at = expires_at + interval '1 day'"
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"update audit_legalhold set {longer} where id = %s", [hold.pk])
    legal_hold.renew(hold, by="user:1", expires_at=soon(days=90))
    assert (hold.renewed, hold.renewed_by) == (2, "user:1")


# Placed anew -------------------------------------------------------------------------------------
def keeps_this_month() -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute("select audit_hold_over(current_date)")
        found: UUID | None = cursor.fetchone()[0]
    return found


def test_one_that_nobody_approved_keeps_nothing_when_it_is_placed_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, begins = placed(), timezone.now()
    assert keeps_this_month() == first.pk  # everybody's months stay for it
    at(monkeypatch, begins - timedelta(days=4))
    lapsed = placed(OTHER)
    at(monkeypatch, begins)
    again = placed(OTHER, by="user:3", covers_from=begins)
    elsewhere = placed(OTHER, subject_id=SUBJECT)  # by who has let the other one lapse
    for hold in (again, elsewhere):
        assert not hold.holds_meanwhile
        assert not legal_hold.is_in_force(hold)
        assert not legal_hold.has_ended(hold)
    assert legal_hold.in_force(OTHER) is None
    released(first)
    assert keeps_this_month() is None
    legal_hold.approve(again, by="user:2")
    assert legal_hold.in_force(OTHER) == again
    assert keeps_this_month() == again.pk
    assert lapsed.waits_until == lapsed.requested_at + timedelta(hours=72)


def test_after_a_month_it_may_be_placed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    begins = timezone.now()
    at(monkeypatch, begins - timedelta(days=30, minutes=1))
    placed()
    at(monkeypatch, begins)
    assert placed().holds_meanwhile


def test_other_people_and_other_subjects_wait_for_nobody() -> None:
    assert placed(subject_id=SUBJECT).holds_meanwhile
    assert placed(subject_id=uuid4()).holds_meanwhile
    assert placed(by="user:2").holds_meanwhile
    assert placed(OTHER).holds_meanwhile


def test_nobody_lets_it_wait_longer() -> None:
    hold = placed()
    longer = "waits_until = waits_until + interval '1 day'"
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"update audit_legalhold set {longer} where id = %s", [hold.pk])


def test_every_act_is_on_record() -> None:
    hold = placed(subject_id=SUBJECT)
    legal_hold.approve(hold, by="user:2")
    legal_hold.renew(hold, by="user:3", expires_at=soon(days=60))
    released(hold)
    steps = ["request", "approve", "renew", "ask_release", "release"]
    assert words() == [f"hold:{step}" for step in steps]
    event = Event.objects.get(action="hold:request")
    assert (event.tenant_id, event.subject_id, event.actor) == (TENANT, SUBJECT, "user:1")
    assert event.detail["reason"] == "Case 4711"


def test_its_dates_are_in_order() -> None:
    with pytest.raises(ValidationError):
        placed(covers_from=soon(days=2), covers_until=soon(days=1))


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'another'",
        "requested_by = 'user:9'",
        "tenant_id = gen_random_uuid()",
        "expires_at = expires_at - interval '29 days'",
        "expires_at = expires_at + interval '2 years'",
        "covers_until = now()",
    ],
)
def test_the_database_keeps_it_as_it_was_placed(change: str) -> None:
    hold = placed()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"update audit_legalhold set {change} where id = %s", [hold.pk])
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("delete from audit_legalhold")
    assert legal_hold.in_force(TENANT) == hold


@pytest.mark.django_db(transaction=True)
def test_a_hold_that_is_placed_while_something_is_erased_waits_for_it() -> None:
    placed_at: list[float] = []

    def place() -> None:
        placed()
        placed_at.append(timezone.now().timestamp())
        connection.close()

    with transaction.atomic():
        legal_hold.refuse_if_held(TENANT, SUBJECT)
        other = threading.Thread(target=place)
        other.start()
        other.join(0.3)
        assert other.is_alive()
        done = timezone.now().timestamp()
    other.join(10)
    assert placed_at[0] >= done
    with pytest.raises(legal_hold.OnHold), transaction.atomic():
        legal_hold.refuse_if_held(TENANT, SUBJECT)
