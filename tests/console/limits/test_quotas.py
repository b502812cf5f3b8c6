"""Quotas, raises by two people, and refusals explained."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants.models import (
    ApiKey,
    Member,
    Quota,
    QuotaCounter,
    QuotaNotice,
    QuotaRaise,
    Tenant,
    User,
)
from tests.console.asked import refusal
from tests.console.conftest import SignIn

IN = "/console/t/acme/"
QUOTAS = f"{IN}quotas/"
FORM = {"scope": "", "unit": "tokens", "window": "month", "limit": "2000000"}


def soon(days: float = 3) -> str:
    return (timezone.now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")


@pytest.fixture
def quota(acme: Tenant) -> Quota:
    return Quota.set(acme, unit="requests", window="day", limit=1000, by="test")


def test_a_quota_is_set_changed_and_dropped(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    page = client.post(QUOTAS, FORM, follow=True).content.decode()
    assert "2,000,000" in page
    quota = Quota.objects.get()
    assert (quota.unit, quota.window, quota.limit) == ("tokens", "month", 2_000_000)
    client.post(f"{QUOTAS}{quota.pk}/", {"limit": "5"})
    quota.refresh_from_db()
    assert quota.limit == 5
    client.post(f"{QUOTAS}{quota.pk}/drop/")
    assert not Quota.objects.exists()
    actions = Event.objects.filter(actor=alice.actor).values_list("action", flat=True)
    assert {"quota:create", "quota:change", "quota:delete"} <= set(actions)


def test_cost_is_typed_and_shown_in_whole_units(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    client.post(QUOTAS, {**FORM, "unit": "cost", "limit": "12.5"})
    quota = Quota.objects.get()
    assert quota.limit == 12_500_000
    page = client.get(f"{QUOTAS}{quota.pk}/").content.decode()
    assert "12.50" in page
    assert 'value="12.5"' in page


def test_for_a_key_a_member_or_a_model(alice: Member, bob: Member, sign_in: SignIn) -> None:
    key = ApiKey.issue(alice.tenant, "ci", by="t")[0]
    for scope in (f"api_key:{key.pk}", f"member:{bob.pk}", "model:mock"):
        sign_in(alice).post(QUOTAS, {**FORM, "scope": scope})
    found = Quota.objects.values_list("api_key", "member", "model")
    assert set(found) == {(key.pk, None, ""), (None, bob.pk, ""), (None, None, "mock")}


@pytest.mark.parametrize(
    "bad",
    [
        {"limit": "-1"},
        {"limit": "1.5"},
        {"limit": "NaN"},
        {"limit": "1e400"},
        {"limit": str(10**16)},
        {"unit": "dollars"},
        {"window": "year"},
        {"scope": "member:1"},
        {"scope": "model:gpt-9"},
        {"unit": "cost", "limit": "0.0000001"},
    ],
)
def test_bad_quotas(alice: Member, sign_in: SignIn, bad: dict[str, str]) -> None:
    page = sign_in(alice).post(QUOTAS, {**FORM, **bad}).content.decode()
    assert "invalid-feedback" in page
    assert not Quota.objects.exists()


def test_a_strangers_key_is_no_choice(alice: Member, charlie: Member, sign_in: SignIn) -> None:
    theirs = ApiKey.issue(charlie.tenant, "theirs", by="t")[0]
    for scope in (f"api_key:{theirs.pk}", f"member:{charlie.pk}"):
        page = sign_in(alice).post(QUOTAS, {**FORM, "scope": scope}).content.decode()
        assert "Select a valid choice" in page
    foreign = Quota.set(charlie.tenant, unit="requests", window="day", limit=1, by="t")
    client = sign_in(alice)
    assert client.get(f"{QUOTAS}{foreign.pk}/").status_code == 404
    for act in ("", "drop/", "raise/"):
        assert client.post(f"{QUOTAS}{foreign.pk}/{act}", {"limit": "9"}).status_code == 404


def test_a_key_that_has_been_rotated_is_no_choice(alice: Member, sign_in: SignIn) -> None:
    key = ApiKey.issue(alice.tenant, "ci", by="t")[0]
    key.rotate(by="t", overlap=timedelta(hours=1))
    form = {**FORM, "scope": f"api_key:{key.pk}"}
    assert "Select a valid choice" in sign_in(alice).post(QUOTAS, form).content.decode()


def test_what_stands_against_it(carol: Member, quota: Quota, sign_in: SignIn) -> None:
    QuotaCounter.objects.filter(quota=quota).update(used=700, reserved=150)
    QuotaNotice.objects.create(
        tenant=quota.tenant, quota=quota, starts=timezone.now(), percent=80, at=timezone.now()
    )
    page = sign_in(carol).get(QUOTAS)
    shown = page.content.decode()
    assert page.context["lines"][0].standing.percent == 85
    for said in ("700", "150", "1,000", "85 %", "80 %"):
        assert said in shown
    assert "Set quota" not in shown


def test_one_person_asks_another_approves(
    alice: Member, erin: Member, quota: Quota, sign_in: SignIn
) -> None:
    form = {"amount": "500", "expires_at": soon(), "reason": "month end"}
    answer = sign_in(erin).post(f"{QUOTAS}{quota.pk}/raise/", form, follow=True)
    assert "Another person has to approve it." in answer.content.decode()
    asked = QuotaRaise.objects.get()
    own = sign_in(erin).post(f"{IN}raises/{asked.pk}/approval/", follow=True).content.decode()
    assert "You cannot decide on your own request" in own
    sign_in(alice).post(f"{IN}raises/{asked.pk}/approval/")
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == ("approved", alice.user)
    assert quota.balance().allowed == 1500
    again = sign_in(alice).post(f"{IN}raises/{asked.pk}/refusal/", follow=True).content.decode()
    assert "This request has already been decided." in again
    assert "In force" in again


@pytest.mark.parametrize(
    "bad",
    [
        {"amount": "0"},
        {"amount": "x"},
        {"reason": ""},
        {"reason": "x" * 201},
        {"expires_at": ""},
        {"expires_at": "2020-01-01T00:00"},
        {"expires_at": "2999-01-01T00:00"},
    ],
)
def test_bad_raises(erin: Member, quota: Quota, sign_in: SignIn, bad: dict[str, str]) -> None:
    form = {"amount": "500", "expires_at": soon(), "reason": "month end", **bad}
    page = sign_in(erin).post(f"{QUOTAS}{quota.pk}/raise/", form).content.decode()
    assert "invalid-feedback" in page
    assert not QuotaRaise.objects.exists()


def test_operators_see_raises_of_all_tenants(
    alice: Member, charlie: Member, quota: Quota, operator: User, sign_in: SignIn
) -> None:
    at = timezone.now() + timedelta(days=1)
    for tenant, person in ((alice.tenant, alice), (charlie.tenant, charlie)):
        budget = Quota.set(tenant, unit="tokens", window="day", limit=9, by="t")
        QuotaRaise.ask(budget, 1, f"for {tenant}", at, user=person.user, by=person.actor)
    client = sign_in(operator)
    page = client.get("/console/raises/").content.decode()
    assert "for acme" in page
    assert "for globex" in page
    assert "for globex" not in sign_in(alice).get(f"{IN}raises/").content.decode()
    theirs = QuotaRaise.objects.get(reason="for globex")
    answer = client.post(f"/console/t/globex/raises/{theirs.pk}/approval/", {"back": "all"})
    assert answer["Location"] == "/console/raises/"
    assert sign_in(alice).post(f"{IN}raises/{theirs.pk}/refusal/").status_code == 404


def test_a_tenant_learns_no_operators_name_from_a_raise(
    alice: Member, quota: Quota, operator: User, sign_in: SignIn
) -> None:
    at = timezone.now() + timedelta(days=1)
    QuotaRaise.ask(quota, 1, "more", at, user=alice.user, by="t").approve(user=operator, by="t")
    page = sign_in(alice).get(f"{IN}raises/").content.decode()
    assert "Platform operator" in page
    assert operator.email not in page


# Refusals ----------------------------------------------------------------------------------------
def test_a_refusal_is_explained_by_its_id(
    carol: Member, acme: Tenant, quota: Quota, sign_in: SignIn
) -> None:
    key = ApiKey.issue(acme, "fraud scoring", by="t")[0]
    given: dict[str, Any] = {"quota_id": quota.pk, "limit": 1000, "used": 1000, "count": 42}
    given |= {"tier": "quota", "model": "mock", "route": "/v1/completions"}
    row = refusal(acme, actor=key.actor, **given)
    client = sign_in(carol)
    answer = client.get(f"{IN}refusals/find/", {"id": f"ref_{row.pk.hex}"}, follow=True)
    page = answer.content.decode()
    for said in ("fraud scoring was refused 42 times", "1,000", "/v1/completions", "Who used it"):
        assert said in page


def test_a_limit_of_bytes_is_explained_in_megabytes(
    carol: Member, acme: Tenant, sign_in: SignIn
) -> None:
    key = ApiKey.issue(acme, "images", by="t")[0]
    row = refusal(acme, actor=key.actor, tier="bytes", limit=32_000_000, used=31_900_000)
    client = sign_in(carol)
    page = client.get(f"{IN}refusals/{row.pk}/").content.decode()
    for said in ("Bytes in flight of the tenant", "32 MB", "31.9 MB"):
        assert said in page
    assert "32 MB" in client.get(f"{IN}refusals/").content.decode()


@pytest.mark.parametrize("text", ["", "ref_", "ref_zz", "nonsense" * 20, f"ref_{UUID(int=7).hex}"])
def test_an_id_that_leads_nowhere(carol: Member, sign_in: SignIn, text: str) -> None:
    answer = sign_in(carol).get(f"{IN}refusals/find/", {"id": text}, follow=True)
    assert answer.status_code == 200
    assert "No refusal here has the id" in answer.content.decode()


def test_another_tenants_refusal_is_found_by_operators_only(
    carol: Member, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    row = refusal(globex, model="secret-model")
    client, query = sign_in(carol), {"id": f"ref_{row.pk.hex}"}
    answer = client.get(f"{IN}refusals/find/", query, follow=True).content.decode()
    assert "No refusal here has the id" in answer
    assert client.get(f"{IN}refusals/{row.pk}/").status_code == 404
    assert "secret-model" not in client.get(f"{IN}refusals/").content.decode()
    found = sign_in(operator).get("/console/refusals/find/", query, follow=True)
    assert "secret-model" in found.content.decode()
    assert "globex" in sign_in(operator).get("/console/refusals/").content.decode()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, {"rate", "quota"}),
        ({"tier": "quota"}, {"quota"}),
        ({"who": "ci"}, {"rate"}),
        ({"who": "nobody"}, set()),
        ({"tier": "nonsense"}, set()),
        ({"until": "2020-01-01T00:00"}, set()),
    ],
)
def test_filters(
    carol: Member, acme: Tenant, sign_in: SignIn, query: dict[str, str], shown: set[str]
) -> None:
    key: Any = ApiKey.issue(acme, "ci", by="t")[0]
    refusal(acme, actor=key.actor, tier="rate")
    refusal(acme, actor=carol.actor, tier="quota")
    lines = sign_in(carol).get(f"{IN}refusals/", query).context["lines"]
    assert {row.tier for row, _ in lines} == shown


def test_acts_are_recorded_where_they_happen(
    erin: Member, alice: Member, quota: Quota, sign_in: SignIn
) -> None:
    form = {"amount": "500", "expires_at": soon(), "reason": "month end"}
    sign_in(erin).post(f"{QUOTAS}{quota.pk}/raise/", form)
    sign_in(alice).post(f"{IN}raises/{QuotaRaise.objects.get().pk}/refusal/")
    events = Event.objects.of_tenant(alice.tenant_id).filter(action__startswith="raise:")
    assert {(e.action, e.actor) for e in events} == {
        (Action.RAISE_REQUEST, erin.actor),
        (Action.RAISE_REFUSE, alice.actor),
    }


def test_the_platforms_quota_has_no_form(alice: Member, operator: User, sign_in: SignIn) -> None:
    sign_in(operator).post(QUOTAS, FORM)
    quota = Quota.objects.get()
    client = sign_in(alice)
    page = client.get(f"{QUOTAS}{quota.pk}/").content.decode()
    assert "Set by the platform" in page
    assert "Delete quota" not in page
    for act in ("", "drop/"):
        assert client.post(f"{QUOTAS}{quota.pk}/{act}", {"limit": "9"}).status_code == 403
    again = client.post(QUOTAS, {**FORM, "limit": "9000000"}).content.decode()
    assert "ask for an increase" in again
    quota.refresh_from_db()
    assert (quota.limit, quota.set_by_platform) == (2_000_000, True)
    assert "Delete quota" in sign_in(operator).get(f"{QUOTAS}{quota.pk}/").content.decode()
