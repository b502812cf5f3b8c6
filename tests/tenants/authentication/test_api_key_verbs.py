"""Keys: issued with what they may, changed, rotated, revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants import model_access, secret_keys
from tenants.models import ApiKey, Member, Quota, Team, Tenant
from tenants.roles import Role
from tests.people import join


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


def charlie(globex: Tenant) -> Member:
    return join(globex, "charlie@globex.example", Role.OWNER)


def test_a_key_with_everything(acme: Tenant) -> None:
    team = Team.form(acme, "research", by="test")
    key, text = ApiKey.issue(
        acme,
        "ci",
        by="test",
        days=30,
        scopes=["batch", "inference", "batch"],
        allowed_models=["mock", " qwen "],
        allowed_networks=["192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"],
        team=team,
        requests_per_minute=10,
        max_concurrency=None,
    )
    key.refresh_from_db()
    assert secret_keys.digest(text) == bytes(key.digest)
    assert key.scopes == ["batch", "inference"]
    assert key.allowed_models == ["mock", "qwen"]
    assert key.allowed_networks == ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/32"]
    assert (key.team, key.requests_per_minute, key.max_concurrency) == (team, 10, None)
    assert key.expires_at
    assert abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", []),
        ("scopes", ["root"]),
        ("allowed_models", [""]),
        ("allowed_models", ["  "]),
        ("allowed_models", ["x" * 121]),
        ("allowed_models", [f"m{n}" for n in range(101)]),
        ("allowed_networks", ["everywhere"]),
        ("allowed_networks", ["192.0.2.1/24"]),
        ("allowed_networks", ["192.0.2.0/33"]),
        ("allowed_networks", ["fe80::1%eth0"]),
        ("allowed_networks", [""]),
        ("requests_per_minute", -1),
        ("expires_at", timezone.now() - timedelta(seconds=1)),
        ("expires_at", datetime(2099, 1, 1)),
        ("expires_at", datetime(9999, 12, 31, 23, 59, tzinfo=UTC)),
        ("name", ""),
    ],
)
def test_what_no_key_may_be(acme: Tenant, key: ApiKey, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        ApiKey.issue(acme, **{"name": "x", "by": "test", field: value})
    assert set(refused.value.message_dict) == {field}
    with pytest.raises(ValidationError):
        key.change(by="test", **{field: value})
    assert ApiKey.objects.count() == 1
    assert not Event.objects.filter(action=Action.API_KEY_CHANGE).exists()


@pytest.mark.parametrize(
    "field", ["tenant", "digest", "revoked_at", "replaced_by", "group", "grantors", "holders"]
)
def test_nothing_else_can_be_given(acme: Tenant, key: ApiKey, field: str) -> None:
    with pytest.raises(TypeError):
        ApiKey.issue(acme, "x", by="test", **{field: key})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        key.change(by="test", **{field: key})  # type: ignore[arg-type]


def test_strangers_teams_and_members_are_refused(acme: Tenant, globex: Tenant, key: ApiKey) -> None:
    theirs = Team.form(globex, "research", by="test")
    with pytest.raises(ValidationError):
        ApiKey.issue(acme, "x", by="test", team=theirs)
    with pytest.raises(ValidationError):
        ApiKey.issue(acme, "x", by="test", created_by=charlie(globex))
    with pytest.raises(ValidationError):
        key.change(by="test", team=theirs)
    assert ApiKey.objects.get().team is None


def test_a_change_says_what_was_before(key: ApiKey) -> None:
    key.change(by="test", name="cd", scopes=["inference", "audit:read"], burst=3)
    key.change(by="test", burst=3)
    event = Event.objects.get(action=Action.API_KEY_CHANGE)
    assert event.detail["scopes"] == [["inference"], ["audit:read", "inference"]]
    assert (event.detail["burst"], event.detail["name"]) == ([None, 3], ["ci", "cd"])
    assert event.detail["key"] == str(key.id)


def test_a_revoked_key_stays_as_it_is(key: ApiKey) -> None:
    stale = ApiKey.objects.get()
    key.revoke(by="test")
    with pytest.raises(ValidationError):
        stale.change(by="test", name="cd")
    with pytest.raises(ValidationError):
        stale.rotate(by="test", overlap=timedelta(0))
    key.revoke(by="test")
    assert Event.objects.filter(action=Action.API_KEY_REVOKE).count() == 1


# Rotation ----------------------------------------------------------------------------------------
def test_the_successor_is_as_its_predecessor_was(acme: Tenant) -> None:
    team = Team.form(acme, "research", by="test")
    settings: dict[str, Any] = {
        "scopes": ["batch"],
        "allowed_models": ["mock"],
        "burst": 4,
        "team": team,
    }
    old, _ = ApiKey.issue(
        acme, "ci", by="test", days=90, allowed_networks=["192.0.2.7"], **settings
    )
    restricted = model_access.restrict(acme, "mock", by="test")
    model_access.grant(restricted, old, by="test")
    quota = Quota.objects.create(tenant=acme, api_key=old, unit="tokens", window="day", limit=9)
    fresh, text = old.rotate(by="test", overlap=timedelta(days=1))
    fresh.refresh_from_db()
    assert secret_keys.digest(text) == bytes(fresh.digest) != bytes(old.digest)
    assert {name: getattr(fresh, name) for name in settings} == settings
    assert fresh.allowed_networks == ["192.0.2.7/32"]
    assert fresh.expires_at
    assert abs(fresh.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    quota.refresh_from_db()
    assert quota.api_key == fresh
    assert model_access.holders(restricted) == [old, fresh]
    old.refresh_from_db()
    assert old.replaced_by == fresh
    assert old.expires_at
    assert abs(old.expires_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)
    event = Event.objects.get(action=Action.API_KEY_ROTATE)
    assert (event.detail["replaced_by"], event.detail["overlap_s"]) == (str(fresh.id), "86400")


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=30, seconds=1)])
def test_an_overlap_has_its_bounds(key: ApiKey, overlap: timedelta) -> None:
    with pytest.raises(ValidationError):
        key.rotate(by="test", overlap=overlap)
    assert ApiKey.objects.get().replaced_by is None


def test_no_key_is_rotated_twice(key: ApiKey) -> None:
    stale = ApiKey.objects.get()
    fresh, _ = key.rotate(by="test", overlap=timedelta(hours=1))
    for old in (key, stale):
        with pytest.raises(ValidationError):
            old.rotate(by="test", overlap=timedelta(hours=1))
    newest, _ = fresh.rotate(by="test", overlap=timedelta(hours=1))
    assert ApiKey.objects.count() == 3
    key.refresh_from_db()
    assert key.replaced_by == newest  # no chains: the quotas of both stand at the newest


def test_without_an_overlap_the_old_key_is_over(key: ApiKey) -> None:
    key.rotate(by="test", overlap=timedelta(0))
    assert ApiKey.objects.get(pk=key.pk).expired


def test_a_rotation_does_not_lengthen_a_life(acme: Tenant) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test", expires_at=timezone.now() + timedelta(hours=1))
    before = key.expires_at
    key.rotate(by="test", overlap=timedelta(days=30))
    assert ApiKey.objects.get(pk=key.pk).expires_at == before


@pytest.mark.parametrize("until", [None, timedelta(days=400)])
def test_a_rotated_key_does_not_get_a_longer_overlap(key: ApiKey, until: timedelta | None) -> None:
    """Whoever has a text that leaked would go on with it."""
    key.rotate(by="test", overlap=timedelta(days=1))
    later = until and timezone.now() + until
    with pytest.raises(ValidationError) as refused:
        key.change(by="test", expires_at=later)
    assert set(refused.value.message_dict) == {"expires_at"}
    key.change(by="test", name="leaked", expires_at=timezone.now() + timedelta(hours=1))
    key.refresh_from_db()
    assert key.name == "leaked"
    assert key.expires_at
    assert key.expires_at < timezone.now() + timedelta(hours=2)
