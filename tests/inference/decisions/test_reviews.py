"""Reviews and contests: who may take which step, and what it leaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from audit.erasure import deletion, execution, tombstones
from audit.keys.keyring import Unreadable
from audit.models import DeletionState, Event
from audit.retention import data_classes
from inference.decisions.reviews import contest_clock, reviewing
from inference.metrics import decisions as metrics
from inference.models import (
    Contest,
    ContestState,
    Decision,
    DecisionExplanation,
    ExplanationState,
    Review,
    ReviewCause,
    ReviewState,
)
from inference.models.decisions.contest import AlreadyContested
from inference.models.decisions.review import (
    AlreadyReviewed,
    ClaimedByAnother,
    NotClaimed,
    SamePerson,
)
from inference.personal_data import decisions as personal
from inference.personal_data import erasure
from infrastructure.metrics import registry
from tenants.models import ApiKey, Tenant
from tests.inference.decisions.made import decided

pytestmark = pytest.mark.django_db
RITA, RALF, ROSA = "member:rita", "member:ralf", "member:rosa"
PROGRAM = f"key:{uuid4()}"
TWO: dict[str, Any] = {"second_person": {"input": "amount", "sum": 1000}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


def review_of(decision: Decision) -> Review:
    review: Review = decision.reviews.get()
    return review


def decide(review: Review, outcome: str, by: str, reason: str = "I called the customer") -> None:
    reviewing.claim(review, by=by)
    review.decide(outcome, reason, by=by)


# Reviews -----------------------------------------------------------------------------------------
def test_a_decision_that_asks_for_a_person_has_a_review_and_an_explanation(acme: Tenant) -> None:
    review = review_of(decided(acme))
    assert (review.state, review.cause) == (ReviewState.OPEN, ReviewCause.OUTCOME)
    assert DecisionExplanation.objects.get().state == ExplanationState.MAKING
    assert not decided(acme, outcome="approve").reviews.exists()


def test_a_review_is_claimed_decided_and_on_record(acme: Tenant) -> None:
    decision = decided(acme)
    review = review_of(decision)
    decide(review, "approve", RITA)
    decision.refresh_from_db()
    assert (review.state, decision.final) == (ReviewState.DECIDED, "approve")
    assert decision.decided_at
    assert review.reasons.first == "I called the customer"
    events = Event.objects.filter(action__startswith="review:").order_by("id")
    assert [(e.action, e.actor, e.subject_id) for e in events] == [
        ("review:claim", RITA, decision.person_id),
        ("review:decide", RITA, decision.person_id),
    ]
    assert "called" not in str(list(events.values("detail")))
    assert not Review.objects.waiting().exists()


def test_no_row_has_the_reason_in_clear(acme: Tenant) -> None:
    decide(review_of(decided(acme)), "block", RITA)
    with connection.cursor() as cursor:
        cursor.execute("select inference_review::text from inference_review")
        (row,) = cursor.fetchone()
    assert "called" not in row
    assert b"called".hex() not in row


def test_a_claim_keeps_others_away_until_it_is_over(acme: Tenant) -> None:
    review = review_of(decided(acme))
    reviewing.claim(review, by=RITA)
    with pytest.raises(ClaimedByAnother):
        reviewing.claim(review, by=RALF)
    assert not Review.objects.free_for(RALF).exists()
    assert Review.objects.free_for(RITA).exists()
    Review.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    reviewing.claim(review, by=RALF)
    with pytest.raises(NotClaimed):
        review.decide("approve", "x", by=RITA)


def test_a_claim_is_given_back(acme: Tenant) -> None:
    review = review_of(decided(acme))
    reviewing.claim(review, by=RITA)
    review.give_back(by=RITA)
    with pytest.raises(NotClaimed):
        review.decide("approve", "x", by=RITA)
    reviewing.claim(review, by=RALF)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2001])
def test_a_reason_is_needed(reason: str, acme: Tenant) -> None:
    review = review_of(decided(acme))
    reviewing.claim(review, by=RITA)
    with pytest.raises(ValidationError):
        review.decide("approve", reason, by=RITA)


def test_nothing_is_decided_twice(acme: Tenant) -> None:
    review = review_of(decided(acme))
    decide(review, "approve", RITA)
    with pytest.raises(AlreadyReviewed):
        reviewing.claim(review, by=RALF)


# Two people --------------------------------------------------------------------------------------
def test_above_the_sum_two_people_must_agree(acme: Tenant) -> None:
    decision = decided(acme, **TWO)
    review = review_of(decision)
    decide(review, "block", RITA)
    decision.refresh_from_db()
    assert (review.state, decision.final) == (ReviewState.SECOND, "")
    with pytest.raises(SamePerson):
        reviewing.claim(review, by=RITA)
    decide(review, "block", RALF, "I agree")
    decision.refresh_from_db()
    assert (review.state, decision.final) == (ReviewState.DECIDED, "block")
    assert (review.decided_by, review.confirmed_by) == (RITA, RALF)
    assert (review.reasons.first, review.reasons.second) == ("I called the customer", "I agree")


def test_who_disagrees_needs_another_person_too(acme: Tenant) -> None:
    review = review_of(decided(acme, **TWO))
    decide(review, "block", RITA, "The customer did not answer")
    decide(review, "approve", RALF)
    assert (review.state, review.decided_by) == (ReviewState.SECOND, RALF)
    for before in (RALF, RITA):  # she knows what he has decided: something else
        with pytest.raises(SamePerson):
            reviewing.claim(review, by=before)
    decide(review, "approve", ROSA)
    assert (review.outcome, review.confirmed_by) == ("approve", ROSA)
    (opinion,) = review.reasons.earlier
    assert (opinion.outcome, opinion.by) == ("block", RITA)
    assert opinion.reason == "The customer did not answer"


def test_a_third_person_agrees_with_one_of_two(acme: Tenant) -> None:
    decision = decided(acme, **TWO)
    review = review_of(decision)
    for outcome, person in (("block", RITA), ("approve", RALF), ("block", ROSA)):
        decide(review, outcome, person, f"for {outcome}, {person}")
    decision.refresh_from_db()
    assert (review.state, review.outcome, decision.final) == (ReviewState.DECIDED, "block", "block")
    assert (review.decided_by, review.confirmed_by) == (RITA, ROSA)
    reasons = review.reasons
    assert (reasons.first, reasons.second) == (f"for block, {RITA}", f"for block, {ROSA}")
    (opinion,) = reasons.earlier
    assert (opinion.outcome, opinion.by) == ("approve", RALF)


def test_below_the_sum_one_person_decides(acme: Tenant) -> None:
    review = review_of(decided(acme, second_person={"input": "amount", "sum": 5001}))
    decide(review, "block", RITA)
    assert review.state == ReviewState.DECIDED


# Contests ----------------------------------------------------------------------------------------
def test_a_contest_opens_a_review_and_ends_with_it(acme: Tenant) -> None:
    decision = decided(acme, outcome="block")
    contest = Contest.begin(decision, "I was at home", by=PROGRAM)
    assert (contest.due_at - contest.created_at) == timedelta(days=30)
    review = review_of(decision)
    assert review.cause == ReviewCause.CONTEST
    decide(review, "approve", RITA, "You were right")
    contest.refresh_from_db()
    assert contest.state == ContestState.CHANGED
    assert (contest.texts.statement, contest.texts.answer) == ("I was at home", "You were right")


def test_an_upheld_decision_is_said_to_be_so(acme: Tenant) -> None:
    decision = decided(acme, outcome="block")
    contest = Contest.begin(decision, "", by=PROGRAM)
    decide(review_of(decision), "block", RITA)
    contest.refresh_from_db()
    assert contest.state == ContestState.UPHELD


def test_nobody_decides_the_contest_of_their_own_decision(acme: Tenant) -> None:
    decision = decided(acme)
    decide(review_of(decision), "block", RITA)
    Contest.begin(decision, "no", by=RALF)
    review = decision.reviews.waiting().get()
    for own in (RITA, RALF):
        with pytest.raises(SamePerson):
            reviewing.claim(review, by=own)
    decide(review, "approve", ROSA)
    decision.refresh_from_db()
    assert decision.final == "approve"


def test_nobody_decides_the_contest_of_what_they_had_another_opinion_of(acme: Tenant) -> None:
    decision = decided(acme, **TWO)
    for outcome, person in (("approve", RITA), ("block", RALF), ("block", ROSA)):
        decide(review_of(decision), outcome, person)
    Contest.begin(decision, "no", by=PROGRAM)
    review = decision.reviews.waiting().get()
    for before in (RITA, RALF, ROSA):
        with pytest.raises(SamePerson):
            reviewing.claim(review, by=before)
    reviewing.claim(review, by="member:rolf")


def test_nobody_decides_a_contest_that_their_own_key_entered(acme: Tenant) -> None:
    decision = decided(acme, outcome="block")
    key, _text = ApiKey.issue(acme, "application", by=RITA)
    Contest.begin(decision, "It was me", by=f"key:{key.pk}")
    with pytest.raises(SamePerson):
        decide(review_of(decision), "approve", RITA)
    decide(review_of(decision), "approve", RALF)


def test_a_waiting_review_becomes_that_of_the_contest(acme: Tenant) -> None:
    decision = decided(acme)
    Contest.begin(decision, "no", by=PROGRAM)
    assert review_of(decision).cause == ReviewCause.CONTEST


def test_one_contest_at_a_time(acme: Tenant) -> None:
    decision = decided(acme)
    Contest.begin(decision, "no", by=PROGRAM)
    with pytest.raises(AlreadyContested):
        Contest.begin(decision, "no", by=PROGRAM)
    with pytest.raises(ValidationError):
        Contest.begin(decided(acme), "x" * 4001, by=PROGRAM)


def test_the_clock_alerts_once_a_week_before(
    acme: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    contest = Contest.begin(decided(acme), "no", by=PROGRAM)
    contest_clock.run()
    assert not Event.objects.filter(action="contest:late").exists()
    Contest.objects.update(due_at=timezone.now() + timedelta(days=6))
    contest_clock.run()
    contest_clock.run()
    assert Event.objects.filter(action="contest:late").count() == 1
    assert contest.public_id in caplog.text
    Contest.objects.update(due_at=timezone.now() - timedelta(days=1))
    assert Contest.objects.overdue().get().is_overdue


# The person's data -------------------------------------------------------------------------------
def test_an_export_has_the_decision_with_all_about_it(acme: Tenant) -> None:
    decision = decided(acme)
    Contest.begin(decision, "I was at home", by=PROGRAM)
    decide(review_of(decision), "approve", RITA, "You were right")
    decision.give_feedback("negative", by=PROGRAM)
    version = decision.version_id
    Decision.note_shadow(decision.pk, version, score=0.9, raw_score=0.8, outcome="block")
    assert decision.person_id
    (row,) = personal.exported(acme.id, decision.person_id)
    assert (row["feedback"], row["shadow"]) == ("negative", {"outcome": "block", "score": 0.9})
    assert row["input"]["merchant"] == "Watches"
    assert (row["final_outcome"], row["contests"][0]["answer"]) == ("approve", "You were right")
    assert RITA not in str(row)


def test_an_erasure_leaves_outcomes_without_a_person(acme: Tenant) -> None:
    decision, other = decided(acme), decided(acme, reference="somebody else")
    Contest.begin(decision, "I was at home", by=PROGRAM)
    closed = decided(acme)
    decide(review_of(closed), "block", RITA)
    assert decision.person_id
    request = deletion.ask(acme.id, decision.person_id, by="t", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE
    for row in (decision, closed):
        row.refresh_from_db()
        assert (row.person_id, row.outcome, row.score) == (None, "review", 0.7)
        with pytest.raises(Unreadable):
            _content = row.content
    assert not Contest.objects.exists()
    assert not decision.reviews.exists()
    remaining = review_of(closed)
    assert (remaining.outcome, remaining.decided_by, remaining.ciphertext) == ("block", RITA, None)
    assert review_of(other).state == ReviewState.OPEN
    other.refresh_from_db()
    assert other.content.input["merchant"] == "Watches"


def test_of_an_erased_person_nobody_enters_a_contest(acme: Tenant) -> None:
    decision = decided(acme)
    assert decision.person_id
    personal.erase(acme.id, decision.person_id)
    with pytest.raises(Unreadable):  # also in a process that has the key for a second more
        Contest.begin(decision, "I was at home", by=PROGRAM)
    assert not Review.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_contest_that_is_entered_during_the_erasure_goes_with_the_others(acme: Tenant) -> None:
    decision = decided(acme, outcome="block")

    def erase() -> None:
        try:
            personal.erase(acme.id, person_id)
        finally:
            connection.close()

    person_id: Any = decision.person_id
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Contest.begin(decision, "I was at home", by=PROGRAM)
            erasing = pool.submit(erase)
            assert not wait([erasing], 1).done
        erasing.result(20)
    assert not Contest.objects.exists()
    assert not Review.objects.exists()


def test_an_explanation_that_comes_after_the_erasure_is_not_stored(acme: Tenant) -> None:
    decision = decided(acme)
    late = DecisionExplanation.objects.select_related("decision").get()
    assert decision.person_id
    personal.erase(acme.id, decision.person_id)
    late.succeed(b"abroad raised it")  # by a process that has the key for a second more
    assert not DecisionExplanation.objects.exists()


def test_retention_deletes_old_decisions_but_not_contested_or_held_ones(acme: Tenant) -> None:
    old: Any = timezone.now() - timedelta(days=500)
    gone, contested = decided(acme, created_at=old), decided(acme, created_at=old)
    held = decided(acme, created_at=old, reference="held")
    new = decided(acme)
    Contest.begin(contested, "no", by=PROGRAM)
    spare = frozenset([held.person_id]) if held.person_id else frozenset()
    before = timezone.now() - timedelta(days=400)
    assert personal.erase_old(acme.id, before, spare) == 1
    assert set(Decision.objects.all()) == {contested, held, new}
    assert not Review.objects.filter(decision=gone.pk).exists()


def test_their_time_ends_some_at_a_time(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_classes.of("decisions").step == personal.BATCH
    monkeypatch.setattr(personal, "BATCH", 2)
    for _number in range(3):
        decided(acme)
    later = timezone.now() + timedelta(days=1)
    erased = [personal.erase_old(acme.id, later, frozenset()) for _number in range(3)]
    assert erased == [2, 1, 0]


def test_contests_past_their_date_are_counted_for_an_alert(acme: Tenant) -> None:
    first, _second = (Contest.begin(decided(acme), "No.", by=RITA) for _ in range(2))
    Contest.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    metrics.forget()
    metrics.read(connection.connection)
    assert registry().get_sample_value("forebay_contests_overdue") == 1
    Contest.objects.filter(pk=first.pk).update(state=ContestState.UPHELD)
    metrics.forget()
    metrics.read(connection.connection)
    assert registry().get_sample_value("forebay_contests_overdue") == 0
    metrics.forget()
