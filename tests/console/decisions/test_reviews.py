"""The review queue and the contests, on pages and in the management API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from console.waiting.counts import waiting_for
from inference.decisions import explaining
from inference.decisions.explaining import Effect, Explanation
from inference.models import Contest, Decision, DecisionExplanation, Review, ReviewState
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.console.api.conftest import Api
from tests.console.conftest import SignIn, join, prove
from tests.inference.decisions.made import decided

pytestmark = pytest.mark.django_db
QUEUE, CONTESTS = "/console/t/acme/decisions/reviews/", "/console/t/acme/decisions/contests/"
T = "tenants/acme/"
TWO: dict[str, Any] = {"second_person": {"input": "amount", "sum": 1000}}
SECRET = "Watches"  # of the decision's input


@pytest.fixture
def rita(acme: Tenant) -> Member:
    return join(acme, "rita@acme.example", Role.REVIEWER)


@pytest.fixture
def ralf(acme: Tenant) -> Member:
    return join(acme, "ralf@acme.example", Role.REVIEWER)


def code_of(answer: Any) -> str:
    """Returns the code of a problem."""
    return str(answer.json()["type"]).rpartition(":")[2]


def page_of(decision: Decision) -> str:
    return f"{QUEUE}{decision.reviews.get().pk}/"


def test_the_input_is_shown_to_whoever_has_claimed_it(
    acme: Tenant, rita: Member, ralf: Member, sign_in: SignIn
) -> None:
    decision = decided(acme)
    page, client = page_of(decision), sign_in(rita)
    assert decision.policy_name in client.get(QUEUE).content.decode()
    assert SECRET not in client.get(page).content.decode()
    client.post(f"{page}claim/")
    assert SECRET in client.get(page).content.decode()
    others = sign_in(ralf).get(page).content.decode()
    assert SECRET not in others
    assert "is reviewing this" in others
    assert "Somebody else" in sign_in(ralf).post(f"{page}claim/", follow=True).content.decode()


def test_a_review_is_decided_with_a_reason(acme: Tenant, rita: Member, sign_in: SignIn) -> None:
    decision = decided(acme)
    page, client = page_of(decision), sign_in(rita)
    client.post(f"{page}claim/")
    missing = client.post(f"{page}decision/", {"outcome": "approve", "reason": " "})
    assert missing.status_code == 200
    answer = client.post(f"{page}decision/", {"outcome": "approve", "reason": "I called them"})
    assert answer.headers["Location"] == QUEUE
    decision.refresh_from_db()
    assert decision.final == "approve"
    shown = client.get(page).content.decode()
    assert "I called them" in shown
    assert SECRET not in shown


def test_a_decision_needs_a_recent_proof_of_identity(
    acme: Tenant, rita: Member, sign_in: SignIn
) -> None:
    page, client = page_of(decided(acme)), sign_in(rita)
    client.post(f"{page}claim/")
    prove(client, rita.user, seconds_ago=3600)
    answer = client.post(f"{page}decision/", {"outcome": "approve", "reason": "x"})
    assert "/account/proof/" in answer.headers["Location"]
    assert Review.objects.get().state == ReviewState.OPEN


def test_a_second_person_decides_without_seeing_the_first_outcome(
    acme: Tenant, rita: Member, ralf: Member, sign_in: SignIn
) -> None:
    decision = decided(acme, **TWO)
    page, first, second = page_of(decision), sign_in(rita), sign_in(ralf)
    first.post(f"{page}claim/")
    first.post(f"{page}decision/", {"outcome": "block", "reason": "stolen card"})
    assert "another person has to" in first.get(page).content.decode()
    second.post(f"{page}claim/")
    shown = second.get(page).content.decode()
    assert "One person has decided" in shown
    assert "stolen card" not in shown
    assert ",Block" not in second.get(QUEUE, {"export": "csv"}).content.decode()
    second.post(f"{page}decision/", {"outcome": "block", "reason": "agreed"})
    decision.refresh_from_db()
    assert decision.final == "block"
    assert ",Block" in second.get(QUEUE, {"export": "csv", "state": "decided"}).content.decode()


def test_a_claim_is_given_back(acme: Tenant, rita: Member, ralf: Member, sign_in: SignIn) -> None:
    page, client = page_of(decided(acme)), sign_in(rita)
    client.post(f"{page}claim/")
    client.post(f"{page}return/")
    sign_in(ralf).post(f"{page}claim/")
    assert Review.objects.get().claimed_by == ralf.actor


def test_the_queue_is_filtered(acme: Tenant, rita: Member, sign_in: SignIn) -> None:
    claimed, other = decided(acme), decided(acme)
    client = sign_in(rita)
    client.post(f"{page_of(claimed)}claim/")

    def shown(**query: str) -> set[Decision]:
        page = client.get(QUEUE, query).content.decode()
        return {each for each in (claimed, other) if each.public_id in page}

    assert shown() == {claimed, other}
    assert shown(state="mine") == {claimed}
    assert shown(state="free") == {other}
    assert shown(state="decided") == set()
    assert shown(policy=other.policy_name) == {other}
    assert shown(cause="contest") == set()
    assert client.get(QUEUE, {"state": "nonsense"}).status_code == 200


def test_the_explanation_is_in_the_readers_language(
    acme: Tenant, rita: Member, sign_in: SignIn
) -> None:
    decision = decided(acme)
    page, client = page_of(decision), sign_in(rita)
    client.post(f"{page}claim/")
    assert "is being made" in client.get(page).content.decode()
    row = DecisionExplanation.objects.get()
    row.fail("model_changed")
    assert "model_changed" in client.get(page).content.decode()
    client.post(f"{page}explanation/")
    row.refresh_from_db()
    effect = Effect("abroad", True, False, "approve", 0.1)
    row.succeed(explaining.packed(Explanation("review", "model", 0.7, 0.7, 0.3, 0.8, (effect,))))
    assert "“abroad” = true raised it" in client.get(page).content.decode()
    chinese = client.get(page, headers={"accept-language": "zh-hans"}).content.decode()
    assert "使其升高" in chinese


def test_staff_see_the_queue_and_no_inputs(
    acme: Tenant, bob: Member, erin: Member, sign_in: SignIn
) -> None:
    decision = decided(acme)
    for member in (bob, erin):
        client = sign_in(member)
        assert decision.public_id in client.get(QUEUE).content.decode()
        assert client.get(page_of(decision)).status_code == 403
        assert client.post(CONTESTS, {"decision": decision.public_id}).status_code == 403


def test_another_tenants_review_does_not_exist(
    acme: Tenant, charlie: Member, sign_in: SignIn
) -> None:
    decision = decided(acme)
    page = f"/console/t/globex/decisions/reviews/{decision.reviews.get().pk}/"
    client = sign_in(charlie)
    assert client.get(page).status_code == 404
    entered = client.post("/console/t/globex/decisions/contests/", {"decision": decision.public_id})
    assert "There is no such decision" in entered.content.decode()


def test_a_contest_is_entered_and_decided_by_another_person(
    acme: Tenant, rita: Member, ralf: Member, sign_in: SignIn
) -> None:
    decision = decided(acme, outcome="block")
    client = sign_in(rita)
    client.post(CONTESTS, {"decision": decision.public_id, "statement": "I was at home"})
    twice = client.post(CONTESTS, {"decision": decision.public_id})
    assert "open already" in twice.content.decode()
    assert decision.public_id in client.get(CONTESTS).content.decode()
    page = page_of(decision)
    assert "another person has to" in client.get(page).content.decode()
    other = sign_in(ralf)
    other.post(f"{page}claim/")
    assert "I was at home" in other.get(page).content.decode()
    other.post(f"{page}decision/", {"outcome": "approve", "reason": "You were right"})
    assert Contest.objects.get().texts.answer == "You were right"


def test_nothing_waits_for_those_who_may_not_decide_it(
    acme: Tenant, rita: Member, ralf: Member
) -> None:
    review = decided(acme, **TWO).reviews.get()
    review.claim(by=rita.actor, needs_second=True)
    review.decide("block", "stolen card", by=rita.actor)
    Contest.begin(decided(acme, outcome="block"), "", by=rita.actor)

    def waiting(member: Member) -> dict[str, int]:
        caches["process"].clear()
        return {row.page: row.count for row in waiting_for(member.user)}

    assert waiting(rita) == {}
    assert waiting(ralf) == {"reviews": 2, "contests": 1}


def test_overdue_contests_are_marked(acme: Tenant, rita: Member, sign_in: SignIn) -> None:
    Contest.begin(decided(acme), "", by="key:1")
    Contest.objects.update(due_at=timezone.now() - timedelta(days=1))
    client = sign_in(rita)
    assert "1 is overdue" in client.get(CONTESTS).content.decode()
    assert "overdue" in client.get(QUEUE).content.decode()


# The management API ------------------------------------------------------------------------------
@pytest.fixture
def enter(sign_in: SignIn) -> Callable[[Member], Api]:
    return lambda member: Api(sign_in(member))


def test_people_review_through_the_api(
    acme: Tenant, rita: Member, ralf: Member, enter: Callable[[Member], Api]
) -> None:
    decision = decided(acme, **TWO)
    first, second = enter(rita), enter(ralf)
    (row,) = first.get(f"{T}reviews/", state="open").json()["results"]
    path = f"{T}reviews/{row['id']}/"
    assert (row["decision"], row["score"]) == (decision.public_id, 0.7)
    assert first.get(path).json()["input"] is None
    early = first.post(f"{path}decide/", outcome="approve", reason="x")
    assert (early.status_code, code_of(early)) == (409, "not_claimed")
    claimed = first.post(f"{path}claim/").json()
    assert (claimed["input"]["merchant"], claimed["needs_second"]) == (SECRET, True)
    assert code_of(second.post(f"{path}claim/")) == "claimed"
    noted = first.post(f"{path}decide/", outcome="block", reason="stolen").json()
    assert (noted["state"], noted["outcome"]) == ("second", "")
    assert code_of(first.post(f"{path}claim/")) == "same_person"
    second.post(f"{path}claim/")
    second.post(f"{path}give_back/")
    second.post(f"{path}claim/")
    final = second.post(f"{path}decide/", outcome="block", reason="agreed").json()
    assert (final["state"], final["outcome"]) == ("decided", "block")
    assert code_of(second.post(f"{path}claim/")) == "already_decided"


def test_contests_are_entered_through_the_api(
    acme: Tenant, rita: Member, enter: Callable[[Member], Api]
) -> None:
    decision, api = decided(acme, outcome="block"), enter(rita)
    made = api.post(f"{T}contests/", decision=decision.public_id, statement="no")
    assert (made.status_code, made.json()["state"]) == (201, "open")
    again = api.post(f"{T}contests/", decision=decision.public_id)
    assert code_of(again) == "already_contested"
    assert api.post(f"{T}contests/", decision="dec_1").status_code == 400
    assert api.get(f"{T}contests/{made.json()['id']}/").json()["overdue"] is False
    assert len(api.get(f"{T}contests/", state="open").json()["results"]) == 1


def test_a_stranger_finds_no_review(acme: Tenant, charlie: Member, sign_in: SignIn) -> None:
    review = decided(acme).reviews.get()
    assert Client().get(f"/api/v1/{T}reviews/{review.pk}/").status_code == 401
    assert Api(sign_in(charlie)).get(f"{T}reviews/{review.pk}/").status_code == 404


def test_opinions_that_were_not_shared_stay_on_the_page(
    acme: Tenant, rita: Member, ralf: Member, sign_in: SignIn
) -> None:
    decision = decided(acme, **TWO)
    rosa = join(acme, "rosa@acme.example", Role.REVIEWER)
    for member, outcome in ((rita, "block"), (ralf, "approve"), (rosa, "approve")):
        review = decision.reviews.get()
        review.claim(by=member.actor, needs_second=True)
        review.decide(outcome, f"for {outcome}, {member.user.email}", by=member.actor)
    page = sign_in(rita).get(page_of(decision)).content.decode()
    for member, outcome in ((rita, "block"), (ralf, "approve"), (rosa, "approve")):
        assert f"for {outcome}, {member.user.email}" in page
