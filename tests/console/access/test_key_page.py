"""One API key's page: its settings, changing and rotating it, and who may not."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants import model_access, secret_keys
from tenants.models import ApiKey, Member, Quota, Team, Tenant
from tenants.models.api_key import OFFERED
from tenants.roles import Role
from tests.console.conftest import SignIn, hidden_fields, join

KEYS = "/console/t/acme/keys/"


def page_of(key: ApiKey) -> str:
    return f"{KEYS}{key.pk}/"


def form_of(key: ApiKey, **changes: Any) -> dict[str, Any]:
    """What a browser would send back, with changes."""
    expires = key.expires_at.strftime("%Y-%m-%dT%H:%M") if key.expires_at else ""
    sent = {"name": key.name, "scopes": key.scopes, "expires_at": expires, **changes}
    return {name: value for name, value in sent.items() if value is not None}


@pytest.fixture
def key(bob: Member) -> ApiKey:
    return ApiKey.issue(bob.tenant, "ci", by="test", created_by=bob, days=90)[0]


def test_every_setting_of_a_new_key(bob: Member, acme: Tenant, sign_in: SignIn) -> None:
    team = Team.form(acme, "risk", by="test")
    team.add(bob, by="test")
    form = {
        "name": "fraud scoring",
        "days": "30",
        "team": str(team.pk),
        "scopes": ["inference", "management:read"],
        "allowed_models": ["mock"],
        "allowed_networks": "10.1.0.0/16\n192.0.2.7, 10.1.0.0/16",
        "requests_per_minute": "60",
        "max_concurrency": "4",
        "megabytes_in_flight": "8",
        "local_only": "on",
    }
    answer = sign_in(bob).post(KEYS, form)
    assert "is ready" in answer.content.decode()
    key = ApiKey.objects.get()
    assert (key.team, key.scopes, key.allowed_models) == (
        team,
        ["inference", "management:read"],
        ["mock"],
    )
    assert key.allowed_networks == ["10.1.0.0/16", "192.0.2.7/32"]
    assert (key.requests_per_minute, key.burst, key.max_concurrency) == (60, None, 4)
    assert key.local_only
    assert (key.megabytes_in_flight, key.megabytes_per_day) == (8, None)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"allowed_networks": "nowhere"}, "is not an IP address"),
        ({"scopes": []}, "required"),
        ({"scopes": ["everything"]}, "Select a valid choice"),
        ({"allowed_models": ["gpt-9"]}, "Select a valid choice"),
        ({"requests_per_minute": "-1"}, "greater than or equal to 0"),
        ({"burst": str(2**31)}, "less than or equal to"),
        ({"team": "not-a-uuid"}, "is not a valid UUID"),
    ],
)
def test_bad_settings_are_said_beside_their_field(
    bob: Member, sign_in: SignIn, bad: dict[str, Any], said: str
) -> None:
    form = {"name": "x", "days": "30", "scopes": ["inference"], **bad}
    page = sign_in(bob).post(KEYS, form).content.decode()
    assert said in page
    assert "<details" in page
    assert not ApiKey.objects.exists()


def test_another_tenants_team_is_no_choice(
    bob: Member, globex: Tenant, key: ApiKey, sign_in: SignIn
) -> None:
    theirs = Team.form(globex, "theirs", by="test")
    answer = sign_in(bob).post(page_of(key), form_of(key, team=str(theirs.pk)))
    assert "Select a valid choice" in answer.content.decode()
    key.refresh_from_db()
    assert key.team is None


def test_a_team_without_the_person_is_no_choice(
    alice: Member, bob: Member, acme: Tenant, key: ApiKey, sign_in: SignIn
) -> None:
    team = Team.form(acme, "risk", by="test")
    answer = sign_in(bob).post(page_of(key), form_of(key, team=str(team.pk)))
    assert "Select a valid choice" in answer.content.decode()
    assert team.name not in sign_in(bob).get(KEYS).content.decode()
    sign_in(alice).post(page_of(key), form_of(key, team=str(team.pk)))
    key.refresh_from_db()
    assert key.team == team
    assert sign_in(bob).post(f"{page_of(key)}rotation/", {"hours": "24"}).status_code == 403


def test_a_granted_key_is_no_way_up(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    restricted = model_access.restrict(bob.tenant, "large", by="t")
    model_access.grant(restricted, key, by="t")
    assert sign_in(bob).post(f"{page_of(key)}rotation/", {"hours": "24"}).status_code == 403
    assert sign_in(bob).post(page_of(key), form_of(key, name="mine")).status_code == 403


def test_a_change_writes_what_was_changed_only(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    before = key.expires_at
    answer = sign_in(bob).post(page_of(key), form_of(key, name="nightly", burst="5"), follow=True)
    assert "The key has been changed." in answer.content.decode()
    key.refresh_from_db()
    assert (key.name, key.burst, key.expires_at) == ("nightly", 5, before)
    event = Event.objects.get(action=Action.API_KEY_CHANGE)
    assert event.actor == bob.actor
    assert event.detail["burst"] == [None, 5]
    assert "expires_at" not in event.detail


def test_a_key_that_was_narrowed_meanwhile_is_not_widened_again(
    bob: Member, key: ApiKey, sign_in: SignIn
) -> None:
    client = sign_in(bob)
    sent = {**form_of(key, name="nightly"), **hidden_fields(client, page_of(key))}
    key.change(by="test", allowed_networks=["10.0.0.0/8"])
    page = client.post(page_of(key), sent).content.decode()
    assert "Somebody has changed it meanwhile." in page
    key.refresh_from_db()
    assert (key.name, key.allowed_networks) == ("ci", ["10.0.0.0/8"])


def test_what_a_key_is_not_asked_for_cannot_be_set(
    bob: Member, alice: Member, globex: Tenant, key: ApiKey, sign_in: SignIn
) -> None:
    extra = {
        "tenant": str(globex.pk),
        "digest": "x",
        "created_by": str(alice.pk),
        "revoked_at": "2026-01-01",
        "priority": "9",
        "quota": "0",
    }
    sign_in(bob).post(page_of(key), form_of(key, name="renamed", **extra))
    fresh = ApiKey.objects.get(pk=key.pk)
    assert fresh.name == "renamed"
    assert (fresh.tenant_id, fresh.created_by, fresh.revoked_at) == (bob.tenant_id, bob, None)
    assert bytes(fresh.digest) == bytes(key.digest)


def test_rotating_shows_the_new_key_once(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    client = sign_in(bob)
    answer = client.post(f"{page_of(key)}rotation/", {"hours": "24"})
    found = re.search(r'value="(sk-fb-[^"]+)"', answer.content.decode())
    assert found
    assert "no-store" in answer["Cache-Control"]
    key.refresh_from_db()
    assert key.replaced_by
    assert bytes(key.replaced_by.digest) == secret_keys.digest(found[1])
    assert key.expires_at
    assert timedelta(hours=23) < key.expires_at - timezone.now() <= timedelta(hours=24)
    assert found[1] not in client.get(page_of(key.replaced_by)).content.decode()
    again = client.post(f"{page_of(key)}rotation/", {"hours": "24"}, follow=True)
    assert "has been rotated already" in again.content.decode()


def test_a_rotated_key_can_stop_at_once(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    answer = sign_in(bob).post(f"{page_of(key)}rotation/", {"hours": "0"})
    assert "The old key no longer works." in answer.content.decode()
    key.refresh_from_db()
    assert key.expired


@pytest.mark.parametrize(
    ("who", "offered"),
    [
        ("alice", {"inference", "batch", "management:read", "management:write", "audit:read"}),
        ("bob", {"inference", "batch", "management:read"}),
    ],
)
def test_nobody_gives_a_key_more_than_they_may(
    request: pytest.FixtureRequest, sign_in: SignIn, who: str, offered: set[str]
) -> None:
    client = sign_in(request.getfixturevalue(who))
    form = client.get(KEYS).context["form"]
    assert {value for value, _ in form.fields["scopes"].choices} == offered
    wanted = {"name": "x", "days": "30", "scopes": [scope.value for scope in OFFERED]}
    client.post(KEYS, wanted)
    assert ApiKey.objects.exists() == (offered == set(OFFERED))


def test_a_stronger_key_is_no_way_up(alice: Member, bob: Member, sign_in: SignIn) -> None:
    strong = ApiKey.issue(alice.tenant, "admin", by="t", scopes=["management:write"])[0]
    client = sign_in(bob)
    assert client.post(f"{page_of(strong)}rotation/", {"hours": "24"}).status_code == 403
    changed = form_of(strong, scopes=["inference"])
    assert client.post(page_of(strong), changed).status_code == 403
    assert "may do more than your role" in client.get(page_of(strong)).content.decode()
    strong.refresh_from_db()
    assert (strong.replaced_by, strong.scopes) == (None, ["management:write"])


def test_its_own_quotas_are_shown(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    page = sign_in(bob).get(page_of(key)).content.decode()
    assert "This key has no quotas of its own" in page
    Quota.set(bob.tenant, unit="requests", window="day", limit=1234, by="t", api_key=key)
    assert "1,234" in sign_in(bob).get(page_of(key)).content.decode()


def test_another_tenants_key_does_not_exist(bob: Member, globex: Tenant, sign_in: SignIn) -> None:
    theirs = ApiKey.issue(globex, "theirs", by="test")[0]
    client = sign_in(bob)
    assert client.get(page_of(theirs)).status_code == 404
    assert client.post(f"{page_of(theirs)}rotation/", {"hours": "0"}).status_code == 404


def test_a_revoked_key_is_only_looked_at(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    key.revoke(by="test")
    page = sign_in(bob).get(page_of(key)).content.decode()
    assert "Rotate key" not in page
    refused = sign_in(bob).post(page_of(key), form_of(key, name="again"), follow=True)
    assert "has been revoked" in refused.content.decode()


def test_a_member_of_two_tenants_has_the_keys_of_each_apart(
    bob: Member, globex: Tenant, key: ApiKey, sign_in: SignIn
) -> None:
    Member.objects.create(tenant=globex, user=bob.user, role=Role.OWNER)
    join(globex, "other@globex.example", Role.OWNER)
    assert sign_in(bob).get(f"/console/t/globex/keys/{key.pk}/").status_code == 404


def test_it_ends_at_a_time_that_every_reader_has(bob: Member, key: ApiKey, sign_in: SignIn) -> None:
    """Else no page with the key could be shown to readers in another time zone."""
    client = sign_in(bob)
    answer = client.post(page_of(key), form_of(key, expires_at="9999-12-31T23:59"))
    assert answer.context["form"].errors.keys() == {"expires_at"}
    key.refresh_from_db()
    assert key.expires_at
    assert key.expires_at.year < 9000
