"""Opened, changed, suspended, resumed, closed: what each leaves on record, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.models import Event
from tenants.models import Tenant, TierPolicy, User
from tenants.models.tenant import Closed, OperatorsStayOut, State
from tenants.roles import Profile, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.open("acme", by="test")


def told(action: Action) -> list[dict[str, Any]]:
    return [event.detail for event in Event.objects.filter(action=action).order_by("id")]


def test_it_opens_with_what_it_is_given() -> None:
    tenant = Tenant.open("acme", by="test", burst=7, local_only=True, time_zone="Asia/Shanghai")
    tenant.refresh_from_db()
    assert (tenant.limit("burst"), tenant.limit("requests_per_minute")) == (7, 100)
    assert (tenant.local_only, tenant.time_zone, tenant.state) == (True, "Asia/Shanghai", "active")
    (detail,) = told(Action.TENANT_CREATE)
    assert detail == {
        "name": "acme",
        "burst": 7,
        "local_only": True,
        "time_zone": "Asia/Shanghai",
    }


def test_a_change_says_what_was_before(tenant: Tenant) -> None:
    tenant.change(by="test", tier="vip", burst=5, retention_days=365, time_zone="UTC")
    assert told(Action.TENANT_CHANGE) == [
        {"tier": ["standard", "vip"], "burst": [None, 5], "retention_days": [200, 365]}
    ]
    assert (tenant.weight, tenant.limit("burst")) == (4, 5)


def test_what_is_not_changed_is_not_on_record(tenant: Tenant) -> None:
    tenant.change(by="test", tier="standard", burst=None)
    assert told(Action.TENANT_CHANGE) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"tier": "gold"},
        {"burst": -1},
        {"burst": 2**31},
        {"retention_days": 183},
        {"time_zone": "Mars/Olympus"},
        {"profile": "none"},
    ],
)
def test_a_bad_figure_changes_nothing(tenant: Tenant, bad: dict[str, Any]) -> None:
    before = {name: getattr(tenant, name) for name in bad}
    with pytest.raises(ValidationError) as refused:
        tenant.change(by="test", **bad)
    assert set(refused.value.message_dict) == set(bad)
    assert {name: getattr(tenant, name) for name in bad} == before
    tenant.refresh_from_db()
    assert {name: getattr(tenant, name) for name in bad} == before
    assert told(Action.TENANT_CHANGE) == []


@pytest.mark.parametrize("name", ["state", "id", "name", "created_at"])
def test_only_settings_can_be_changed(tenant: Tenant, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        tenant.change(by="test", **{name: "closing"})


def test_two_changes_at_once_keep_both(tenant: Tenant) -> None:
    stale = Tenant.objects.get()
    tenant.change(by="test", burst=5)
    stale.change(by="test", tier="vip")
    assert (stale.burst, stale.tier) == (5, "vip")
    assert told(Action.TENANT_CHANGE)[1] == {"tier": ["standard", "vip"]}


def test_suspended_and_resumed(tenant: Tenant) -> None:
    tenant.suspend(by="test", reason=" not paid ")
    tenant.suspend(by="test", reason="again")
    assert Tenant.objects.get().state == State.SUSPENDED
    tenant.resume(by="test")
    tenant.resume(by="test")
    assert Tenant.objects.get().state == State.ACTIVE
    assert told(Action.TENANT_SUSPEND) == [{"reason": "not paid"}]
    assert told(Action.TENANT_RESUME) == [{}]


def test_closing_is_for_good(tenant: Tenant) -> None:
    stale = Tenant.objects.get()
    tenant.close(by="test", reason="contract over")
    acts: list[Callable[[], None]] = [
        lambda: stale.resume(by="test"),
        lambda: stale.suspend(by="test", reason="x"),
    ]
    for act in acts:
        with pytest.raises(Closed):
            act()
    tenant.close(by="test", reason="again")
    assert Tenant.objects.get().state == State.CLOSING
    assert told(Action.TENANT_CLOSE) == [{"reason": "contract over"}]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201])
def test_a_suspension_says_why(tenant: Tenant, reason: str) -> None:
    with pytest.raises(ValidationError):
        tenant.suspend(by="test", reason=reason)
    assert Tenant.objects.get().state == State.ACTIVE


def test_where_duties_are_apart_operators_stay_out(tenant: Tenant) -> None:
    erin = User.objects.create_user("erin@forebay.example", is_operator=True)
    member = tenant.add_member(erin, Role.ADMIN, by="test")
    tenant.add_member(User.objects.create_user("alice@acme.example"), Role.OWNER, by="test")
    with pytest.raises(ValidationError) as refused:
        tenant.change(by="test", profile=Profile.MLPS)
    assert set(refused.value.message_dict) == {"profile"}
    member.remove(by="test")
    tenant.change(by="test", profile=Profile.MLPS)
    with pytest.raises(OperatorsStayOut):
        tenant.add_member(erin, Role.ADMIN, by="test")
    assert tenant.members.count() == 1


def test_a_tier_policy_is_set_for_all_its_tenants(tenant: Tenant) -> None:
    TierPolicy.objects.of("standard").change(by="test", burst=9, weight=2)
    TierPolicy.objects.of("standard").change(by="test", burst=9)
    fresh = Tenant.objects.get()
    assert (fresh.limit("burst"), fresh.weight) == (9, 2)
    assert told(Action.TIER_CHANGE) == [{"tier": "standard", "burst": [200, 9], "weight": [1, 2]}]
    with pytest.raises(ValidationError):
        TierPolicy.objects.of("standard").change(by="test", weight=0)
