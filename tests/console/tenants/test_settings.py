"""A tenant's settings and state, and what operators set for the whole platform."""

from datetime import date
from typing import Any

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from inference.models import Model, Pool
from tenants.models import Member, Price, Reconciliation, Tenant, TierPolicy, User
from tenants.roles import Role
from tests.console.conftest import SignIn, hidden_fields

SETTINGS = "/console/t/acme/settings/"
FORM = {
    "profile": "asvs-5",
    "time_zone": "Asia/Shanghai",
    "chat_sharing": "members",
    "temporary_chats": "allowed",
}


def test_an_owner_changes_them(alice: Member, sign_in: SignIn) -> None:
    origins = "https://app.acme.example\nhttp://localhost:3000"
    form = {**FORM, "local_only": "on", "allowed_origins": origins, "chat_sharing": "links"}
    answer = sign_in(alice).post(SETTINGS, form, follow=True)
    assert "The settings are saved." in answer.content.decode()
    tenant = Tenant.objects.get()
    assert tenant.local_only
    assert tenant.chat_sharing == "links"
    assert tenant.time_zone == "Asia/Shanghai"
    assert tenant.allowed_origins == origins.split()
    assert "http://localhost:3000" in sign_in(alice).get(SETTINGS).content.decode()
    assert Event.objects.get(action=Action.TENANT_CHANGE).actor == alice.actor


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "Asia/Shanghai"),
        ({"profile": "none"}, "Select a valid choice"),
        ({"allowed_origins": "app.acme.example"}, "https://app.example.com"),
    ],
)
def test_bad_settings(alice: Member, sign_in: SignIn, bad: dict[str, str], said: str) -> None:
    page = sign_in(alice).post(SETTINGS, {**FORM, **bad}).content.decode()
    assert "invalid-feedback" in page
    assert said in page
    assert Tenant.objects.get().retention_days == 200


def test_a_tenant_that_became_local_only_meanwhile_stays_so(
    acme: Tenant, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    opened = hidden_fields(client, SETTINGS)
    acme.change(by="test", local_only=True)
    page = client.post(SETTINGS, {**FORM, **opened}).content.decode()
    assert "Somebody has changed it meanwhile." in page
    acme.refresh_from_db()
    assert (acme.local_only, acme.time_zone) == (True, "UTC")


def test_an_owner_sets_neither_tier_nor_limits_nor_state(alice: Member, sign_in: SignIn) -> None:
    extra = {"tier": "vip", "burst": "0", "state": "closing", "weight": "100", "name": "evil"}
    extra |= {"retention_days": "365"}  # has a page of its own, which says first what would go
    sign_in(alice).post(SETTINGS, {**FORM, **extra})
    tenant = Tenant.objects.get()
    assert (tenant.name, tenant.tier, tenant.state) == ("acme", "standard", "active")
    assert (tenant.burst, tenant.retention_days) == (None, 200)


def test_separate_duties_take_effect_at_once(alice: Member, erin: Member, sign_in: SignIn) -> None:
    erins = sign_in(erin)
    assert erins.get("/console/t/acme/audit/").status_code == 200
    sign_in(alice).post(SETTINGS, {**FORM, "profile": "mlps-l3"})
    assert erins.get("/console/t/acme/audit/").status_code == 403
    assert erins.post("/console/t/acme/members/invitation/").status_code == 403


def test_an_operator_stays_out_of_security_where_duties_are_kept_apart(
    acme: Tenant, operator: User, sign_in: SignIn
) -> None:
    acme.change(by="test", profile="mlps-l3")
    client = sign_in(operator)
    assert client.post(SETTINGS, FORM).status_code == 403
    assert client.post(f"{SETTINGS}suspension/", {"reason": "x"}).status_code == 302
    assert Tenant.objects.get().state == "suspended"


def test_suspend_resume_close(acme: Tenant, operator: User, sign_in: SignIn) -> None:
    client = sign_in(operator)
    page = client.post(f"{SETTINGS}suspension/", {"reason": "unpaid"}, follow=True)
    assert "This tenant is suspended" in page.content.decode()
    assert Event.objects.get(action=Action.TENANT_SUSPEND).detail == {"reason": "unpaid"}
    client.post(f"{SETTINGS}resumption/")
    assert Tenant.objects.get().state == "active"
    client.post(f"{SETTINGS}closure/", {"reason": "left", "name": "acme"})
    assert Tenant.objects.get().state == "closing"
    late = client.post(f"{SETTINGS}resumption/", follow=True).content.decode()
    assert "cannot be undone" in late
    assert Tenant.objects.get().state == "closing"


@pytest.mark.parametrize(
    "form", [{"reason": "x"}, {"reason": "x", "name": "acm"}, {"name": "acme"}]
)
def test_closing_wants_a_reason_and_the_name(
    acme: Tenant, operator: User, sign_in: SignIn, form: dict[str, str]
) -> None:
    page = sign_in(operator).post(f"{SETTINGS}closure/", form).content.decode()
    assert "invalid-feedback" in page
    assert Tenant.objects.get().state == "active"


# The whole platform ------------------------------------------------------------------------------
def tier_form(**changes: str) -> dict[str, Any]:
    limits = {"requests_per_minute": "300", "burst": "600", "tokens_per_minute": "0"}
    limits |= {"max_concurrency": "0", "megabytes_in_flight": "64", "megabytes_per_day": "0"}
    return {"tier": "vip", "weight": "8", **limits, **changes}


def test_a_tier_is_changed_for_all_its_tenants(
    acme: Tenant, operator: User, sign_in: SignIn
) -> None:
    acme.change(by="test", tier="vip")
    sign_in(operator).post("/console/tiers/", tier_form())
    fresh = Tenant.objects.get()
    assert (fresh.weight, fresh.limit("burst"), fresh.limit("max_concurrency")) == (8, 600, 0)
    assert (fresh.limit("megabytes_in_flight"), fresh.limit("megabytes_per_day")) == (64, 0)
    assert Event.objects.get(action=Action.TIER_CHANGE).actor == operator.actor


@pytest.mark.parametrize(
    "bad", [{"weight": "0"}, {"weight": "101"}, {"burst": ""}, {"burst": "-1"}]
)
def test_bad_tiers(operator: User, sign_in: SignIn, bad: dict[str, str]) -> None:
    page = sign_in(operator).post("/console/tiers/", tier_form(**bad)).content.decode()
    assert page.count("invalid-feedback") == 1
    assert TierPolicy.objects.of("vip").weight == 4


def test_a_tier_that_does_not_exist(operator: User, sign_in: SignIn) -> None:
    assert sign_in(operator).post("/console/tiers/", tier_form(tier="gold")).status_code == 404


def test_a_price_holds_from_now_on(operator: User, sign_in: SignIn) -> None:
    form = {"model": "mock", "prompt": "0.5", "cached": "0.05", "completion": "1.25"}
    client = sign_in(operator)
    for completion in ("1.25", "2.5"):
        client.post("/console/prices/", {**form, "completion": completion})
    page = client.get("/console/prices/")
    assert [str(price.completion) for price in page.context["holding"]] == ["2.5000"]
    assert Price.objects.count() == 2
    assert "0.05" in page.content.decode()
    dearer = {"peak_hours": "Mon-Fri 01:00-04:00", "peak_factor": "2"}
    client.post("/console/prices/", {**form, **dearer})
    assert "times 2 at Mon-Fri 01:00-04:00 UTC" in client.get("/console/prices/").content.decode()
    event = Event.objects.filter(action=Action.PRICE_CHANGE).latest("id")
    assert dearer["peak_hours"] in str(event.detail)
    wrong = client.post("/console/prices/", {**form, "peak_hours": "at night"}).content.decode()
    assert "Enter hours of the week in UTC" in wrong
    bad = client.post("/console/prices/", {**form, "prompt": "-1"}).content.decode()
    assert "invalid-feedback" in bad


def test_a_pool_may_have_a_price_of_its_own(operator: User, sign_in: SignIn) -> None:
    form = {"model": "mock", "prompt": "0.5", "cached": "0.05", "completion": "1.25"}
    client = sign_in(operator)
    for pool in ("", "there"):
        client.post("/console/prices/", {**form, "pool": pool})
    page = client.get("/console/prices/")
    assert [(price.model, price.pool) for price in page.context["holding"]] == [
        ("mock", ""),
        ("mock", "there"),
    ]
    assert "where pool there serves" in page.content.decode()
    Pool.add(Model.add("small", by="test"), "near", by="test")
    wrong = client.post("/console/prices/", {**form, "pool": "near"}).content.decode()
    assert "This pool is of the model small." in wrong
    assert Price.objects.count() == 2
    own = Price.objects.get(pool="there").pk
    for said in ("cost what its model does from now on", "This price holds no longer."):
        told = client.post(f"/console/prices/{own}/ending/", follow=True)
        assert said in told.content.decode()
        assert [(price.model, price.pool) for price in told.context["holding"]] == [("mock", "")]
    assert "ended: as its model" in client.get("/console/prices/").content.decode()
    whole = Price.objects.get(pool="").pk
    told = client.post(f"/console/prices/{whole}/ending/", follow=True)
    assert "Only a pool&#x27;s own price can end" in told.content.decode()


def test_nobody_else_ends_a_price(alice: Member, sign_in: SignIn) -> None:
    own = Price.set("mock", 1, 1, 1, pool="there", by="test")
    assert sign_in(alice).post(f"/console/prices/{own.pk}/ending/").status_code == 403
    assert list(Price.objects.holding()) == [own]


def test_nights_with_a_difference_stand_out(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    same = dict.fromkeys(
        ("requests_ledger", "requests_usage", "tokens_ledger", "tokens_usage", "cost_ledger"), 5
    )
    for tenant, cost in ((acme, 5), (globex, 7)):
        Reconciliation.objects.create(
            tenant=tenant, day=date(2026, 1, 31), ran_at=timezone.now(), cost_usage=cost, **same
        )
    client = sign_in(operator)
    page = client.get("/console/reconciliation/").content.decode()
    assert "2 tenants, difference 2." in page
    off = client.get("/console/reconciliation/", {"only": "off"}).context["table"].rows
    assert [row.tenant for row in off] == [globex]


def test_a_tenant_opened_with_everything(operator: User, sign_in: SignIn) -> None:
    form = {
        "name": "initech",
        "tier": "vip",
        "profile": "mlps-l3",
        "time_zone": "Europe/Berlin",
        "retention_days": "400",
        "local_only": "on",
        "burst": "0",
        "max_concurrency": "7",
        "state": "closing",
    }
    sign_in(operator).post("/console/tenants/", form)
    tenant = Tenant.objects.get()
    assert (tenant.profile, tenant.time_zone, tenant.retention_days) == (
        "mlps-l3",
        "Europe/Berlin",
        400,
    )
    assert (tenant.local_only, tenant.burst, tenant.max_concurrency) == (True, 0, 7)
    assert (tenant.requests_per_minute, tenant.state) == (None, "active")


def test_tenants_by_state(acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn) -> None:
    globex.suspend(by="test", reason="unpaid")
    client = sign_in(operator)
    found = client.get("/console/tenants/", {"state": "suspended"}).context["table"].rows
    assert list(found) == [globex]
    every = client.get("/console/tenants/", {"state": "nonsense"}).context["table"].rows
    assert list(every) == [acme, globex]


def test_a_bad_profile_for_a_new_tenant_makes_none(operator: User, sign_in: SignIn) -> None:
    form = {"name": "initech", "tier": "vip", "time_zone": "Mars/Olympus"}
    page = sign_in(operator).post("/console/tenants/", form).content.decode()
    assert "Europe/Berlin" in page
    assert "invalid-feedback" in page
    assert not Tenant.objects.exists()


def test_an_operator_can_be_no_member_where_duties_are_kept_apart(
    acme: Tenant, alice: Member, operator: User, sign_in: SignIn
) -> None:
    acme.add_member(operator, Role.AUDITOR, by="test")
    page = sign_in(alice).post(SETTINGS, {**FORM, "profile": "mlps-l3"}).content.decode()
    assert "An operator of the platform is a member here." in page
    assert Tenant.objects.get().profile == "asvs-5"
