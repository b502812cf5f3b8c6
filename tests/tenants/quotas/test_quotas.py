"""Quotas, raises and prices as people set them: valid, audited, and decided by two."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from audit.models import Event
from tenants.models import ApiKey, LedgerEntry, Price, Quota, QuotaRaise, Tenant, User
from tenants.models.quotas.balance import balances
from tenants.models.quotas.quota import MOST_QUOTAS, SetByPlatform
from tenants.models.quotas.quota_raise import (
    AlreadyDecided,
    Expired,
    OperatorsOnly,
    RaiseState,
    SamePerson,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice@acme.example")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob@acme.example")


@pytest.fixture
def ours(acme: Tenant) -> Quota:
    return Quota.set(acme, unit="tokens", window="month", limit=1000, by="member:alice")


def told(tenant: Tenant, action: str) -> list[dict[str, Any]]:
    events = Event.objects.filter(tenant_id=tenant.id, action=action).order_by("id")
    return [event.detail for event in events]


def soon(**more: int) -> datetime:
    return datetime.now(UTC) + timedelta(**(more or {"hours": 1}))


def test_a_quota_is_set_changed_and_dropped_on_record(acme: Tenant, ours: Quota) -> None:
    again = Quota.set(acme, unit="tokens", window="month", limit=2000, by="member:alice")
    assert again == ours
    assert list(acme.quotas.all()) == [ours]
    again.change(2000, by="member:alice")  # no change, no word
    again.drop(by="member:bob")
    (made,), (changed,), (dropped,) = (
        told(acme, f"quota:{act}") for act in ("create", "change", "delete")
    )
    assert made == {
        "quota": str(ours.id),
        "unit": "tokens",
        "window": "month",
        "limit": 1000,
    }
    assert changed["limit"] == [1000, 2000]
    assert dropped["quota"] == str(ours.id)
    assert not Quota.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": -1},
        {"limit": 10**15 + 1},
        {"unit": "euros"},
        {"window": "hour"},
        {"model": "m" * 121},
    ],
)
def test_a_wrong_quota_is_refused_and_leaves_nothing(acme: Tenant, wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 1, "by": "test"}
    with pytest.raises(ValidationError):
        Quota.set(acme, **{**good, **wrong})
    assert not Quota.objects.exists()
    assert told(acme, "quota:create") == []


def test_a_quota_is_of_one_thing_of_its_own_tenant(acme: Tenant, globex: Tenant) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    strange, _ = ApiKey.issue(globex, "ci", by="test")
    good: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 1, "by": "test"}
    with pytest.raises(ValidationError, match="one key, one member, one team or one model"):
        Quota.set(acme, api_key=key, model="mock", **good)
    with pytest.raises(ValidationError, match="no such key"):
        Quota.set(acme, api_key=strange, **good)
    assert not Quota.objects.exists()


def test_a_raise_takes_two_people(acme: Tenant, ours: Quota, alice: User, bob: User) -> None:
    asked = QuotaRaise.ask(ours, 500, " the fair ", soon(), user=alice, by="member:alice")
    assert list(QuotaRaise.objects.of(acme).waiting()) == [asked]
    assert ours.balance().raised == 0
    with pytest.raises(SamePerson):
        asked.approve(user=alice, by="member:alice")
    with pytest.raises(SamePerson):
        asked.refuse(user=alice, by="member:alice")
    assert told(acme, "raise:approve") == []
    asked.approve(user=bob, by="member:bob")
    assert (ours.balance().raised, ours.balance().allowed) == (500, 1500)
    assert list(QuotaRaise.objects.of(acme).holding()) == [asked]
    for decide in (asked.approve, asked.refuse):
        with pytest.raises(AlreadyDecided):
            decide(user=bob, by="member:bob")
    (requested,), (approved,) = told(acme, "raise:request"), told(acme, "raise:approve")
    assert (requested["amount"], requested["reason"]) == (500, "the fair")
    assert approved["raise"] == str(asked.id)


def test_a_raise_that_is_refused_adds_nothing(ours: Quota, alice: User, bob: User) -> None:
    asked = QuotaRaise.ask(ours, 500, "the fair", soon(), user=alice, by="test")
    asked.refuse(user=bob, by="test")
    assert (asked.state, ours.balance().raised) == (RaiseState.REFUSED, 0)


def test_a_raise_ends_and_one_that_is_over_cannot_be_approved(
    ours: Quota, alice: User, bob: User
) -> None:
    asked = QuotaRaise.ask(ours, 500, "the fair", soon(), user=alice, by="test")
    asked.approve(user=bob, by="test")
    assert ours.balance(soon(minutes=59)).raised == 500
    assert ours.balance(soon(minutes=61)).raised == 0
    late = QuotaRaise.ask(ours, 500, "the fair", soon(), user=alice, by="test")
    QuotaRaise.objects.filter(pk=late.pk).update(expires_at=datetime.now(UTC))
    with pytest.raises(Expired):
        late.approve(user=bob, by="test")


@pytest.mark.parametrize("expires", [{"hours": -1}, {"days": 32}])
def test_a_raise_lasts_a_month_at_most(ours: Quota, alice: User, expires: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        QuotaRaise.ask(ours, 500, "for ever", soon(**expires), user=alice, by="test")
    with pytest.raises(ValidationError):
        QuotaRaise.ask(ours, 0, "nothing", soon(), user=alice, by="test")
    assert not QuotaRaise.objects.exists()


def test_many_standings_in_two_queries(
    acme: Tenant, django_assert_num_queries: Any, ours: Quota
) -> None:
    more = [
        Quota.set(acme, unit="tokens", window="day", limit=n, by="test", model=f"m{n}")
        for n in range(1, 9)
    ]
    with django_assert_num_queries(2):
        found = balances([ours, *more], "UTC", datetime.now(UTC))
    assert [found[quota.id].limit for quota in more] == list(range(1, 9))
    assert (found[ours.id].percent, found[more[0].id].remaining) == (0, 1)


def test_the_price_that_holds_is_the_latest(acme: Tenant) -> None:
    Price.set("mock", 1, "0.1", 2, by="operator:erin")
    latest = Price.set("mock", 2, "0.2", 4, by="operator:erin")
    other = Price.set("large", "3.5", 0, 7, by="operator:erin")
    Price.objects.create(
        model="mock", prompt=9, cached=9, completion=9, since=datetime.now(UTC) + timedelta(days=1)
    )
    in_pool = Price.set("mock", 9, 9, 9, pool="there", by="operator:erin")
    assert list(Price.objects.holding()) == [other, latest, in_pool]
    with pytest.raises(ValidationError):
        Price.set("mock", -1, 0, 0, by="operator:erin")
    details = [event.detail for event in Event.objects.filter(action="price:change").order_by("id")]
    assert [detail["model"] for detail in details] == ["mock", "mock", "large", "mock"]
    assert [detail.get("pool") for detail in details] == [None, None, None, "there"]
    assert Decimal(details[2]["prompt"]) == Decimal("3.5")


def test_a_pools_own_price_ends() -> None:
    whole = Price.set("mock", 1, 1, 1, by="test")
    own = Price.set("mock", 9, 9, 9, pool="there", by="test")
    own.end(by="operator:erin")
    assert list(Price.objects.holding()) == [whole]
    event = Event.objects.filter(action="price:change").latest("id")
    assert event.detail == {"model": "mock", "pool": "there", "ended": "yes"}
    for price in (own, whole):
        with pytest.raises(ValidationError):
            price.end(by="operator:erin")
    again = Price.set("mock", 3, 3, 3, pool="there", by="test")
    assert list(Price.objects.holding()) == [whole, again]


def test_commands_set_quotas(acme: Tenant) -> None:
    call_command("create_tenant", "hooli", "--quota", "requests/day=5", "--quota", "cost/month=9")
    hooli = Tenant.objects.get(name="hooli")
    call_command("create_api_key", "hooli", "--name", "k", "--quota", "tokens/day=7")
    found = {(q.unit, q.window, q.limit, q.api_key_id) for q in hooli.quotas.all()}
    key = ApiKey.objects.get(tenant=hooli)
    assert found == {
        ("requests", "day", 5, None),
        ("cost", "month", 9, None),
        ("tokens", "day", 7, key.id),
    }
    assert all(q.set_by_platform for q in hooli.quotas.all())


def test_what_the_platform_has_set_only_the_platform_changes(acme: Tenant, bob: User) -> None:
    wide: dict[str, Any] = {"unit": "cost", "window": "day", "limit": 10**9}
    theirs = Quota.set(acme, **wide, by="member:alice")
    quota = Quota.set(acme, **{**wide, "limit": 5}, by="operator:1", platform=True)
    assert (quota, quota.limit, quota.set_by_platform) == (theirs, 5, True)  # it takes it over
    for lift in (
        lambda: quota.change(9, by="member:alice"),
        lambda: quota.drop(by="member:alice"),
        lambda: Quota.set(acme, **wide, by="member:alice"),
    ):
        with pytest.raises(SetByPlatform):
            lift()
    quota.refresh_from_db()
    assert quota.limit == 5
    quota.change(6, by="operator:1", platform=True)
    asked = QuotaRaise.ask(
        quota, 9, "the fair", soon(), user=User.objects.create_user("a@b.example"), by="a"
    )
    with pytest.raises(OperatorsOnly):
        asked.approve(user=bob, by="member:bob")
    bob.is_operator = True
    asked.approve(user=bob, by="operator:bob")
    assert quota.balance().allowed == 15
    quota.drop(by="operator:1", platform=True)


def test_a_tenant_has_so_many_quotas_and_no_more(acme: Tenant) -> None:
    kind: dict[str, Any] = {"unit": "tokens", "window": "day", "limit": 1}
    names = (f"m{n}" for n in range(MOST_QUOTAS))
    Quota.objects.bulk_create(Quota(tenant=acme, model=name, **kind) for name in names)
    with pytest.raises(ValidationError, match="at most 200 quotas"):
        Quota.set(acme, **kind, by="test", model="one more")
    Quota.set(acme, **kind, by="operator:1", model="one more", platform=True)


def test_a_hop_over_time_zones_begins_no_day_anew(acme: Tenant) -> None:
    quota = Quota.set(acme, unit="requests", window="day", limit=5, by="test")
    at = datetime.now(UTC)
    for _ in range(5):
        LedgerEntry.objects.create(
            at=at, counts_at=at, tenant=acme, request_id=uuid4(), kind="settle", model="m"
        )
    quota.counters.update(used=5)
    acme.change(by="test", time_zone="Pacific/Auckland")
    counted = quota.counters.values_list("used", flat=True)
    assert list(counted) == [5, 5]  # the new day's is there before its first request
    quota.counters.filter(starts=quota.balance().starts).update(used=0)
    assert quota.balance().used == 5  # whichever is fuller
