"""Keys: issued once, changed, rotated, revoked; nobody climbs by them."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Event
from tenants import model_access, secret_keys
from tenants.models import ApiKey, Member, Quota, RestrictedModel, Scope, Team, Tenant, User
from tenants.roles import DUTIES, Role
from tenants.roles import Permission as P
from tests.console.api.conftest import Api, Enter, errors, issued

KEYS, TEAMS = "tenants/acme/keys/", "tenants/acme/teams/"


def test_a_new_keys_text_is_shown_once(alice: Member, enter: Enter) -> None:
    api = enter(alice)
    answer = api.post(KEYS, name="build", requests_per_minute=30, allowed_networks=["192.0.2.7"])
    said = answer.json()
    assert answer.status_code == 201
    assert secret_keys.well_formed(said["secret"])
    assert said["allowed_networks"] == ["192.0.2.7/32"]
    again = api.get(answer.headers["Location"])
    assert again.json() == {name: v for name, v in said.items() if name != "secret"}
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert ApiKey.objects.get().created_by == alice
    assert Event.objects.filter(action="api_key:create", actor=alice.actor).count() == 1


def test_a_key_is_changed(alice: Member, enter: Enter) -> None:
    key, _text = issued(alice.tenant)
    team = Team.form(alice.tenant, "search", by="test")
    answer = enter(alice).patch(
        f"{KEYS}{key.pk}/", name="new", team=str(team.pk), burst=5, local_only=True
    )
    assert answer.status_code == 200, answer.content
    key.refresh_from_db()
    assert (key.name, key.team, key.burst, key.local_only) == ("new", team, 5, True)
    assert answer.json()["team"] == str(team.pk)


def test_another_tenants_team_is_no_team(alice: Member, charlie: Member, enter: Enter) -> None:
    team = Team.form(charlie.tenant, "theirs", by="test")
    answer = enter(alice).post(KEYS, name="build", team=str(team.pk))
    assert answer.status_code == 400
    assert list(errors(answer)) == ["team"]
    assert not ApiKey.objects.exists()


def test_a_key_is_rotated(alice: Member, enter: Enter) -> None:
    key, _text = issued(alice.tenant, burst=7, local_only=True)
    api = enter(alice)
    answer = api.post(f"{KEYS}{key.pk}/rotate/", overlap_s=60)
    assert answer.status_code == 201
    fresh = ApiKey.objects.get(digest=secret_keys.digest(answer.json()["secret"]))
    key.refresh_from_db()
    assert (fresh.burst, fresh.local_only, key.replaced_by) == (7, True, fresh)
    assert api.get(answer.headers["Location"]).json()["id"] == str(fresh.pk)
    assert api.post(f"{KEYS}{key.pk}/rotate/").status_code == 400


def test_a_revoked_key_opens_nothing(alice: Member, enter: Enter, with_key: Enter) -> None:
    program = with_key(alice.tenant)
    key = ApiKey.objects.get()
    assert program.get("me/").status_code == 200
    answer = enter(alice).post(f"{KEYS}{key.pk}/revoke/")
    assert answer.json()["state"] == "revoked"
    assert program.get("me/").status_code == 401
    assert enter(alice).post(f"{KEYS}{key.pk}/revoke/").status_code == 200
    assert Event.objects.filter(action="api_key:revoke").count() == 1


def test_keys_are_filtered_by_what_they_are(alice: Member, enter: Enter) -> None:
    live, revoked = issued(alice.tenant)[0], issued(alice.tenant, ["batch"])[0]
    revoked.revoke(by="test")
    expired, _text = issued(alice.tenant)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    api = enter(alice)
    for state, key in {"live": live, "revoked": revoked, "expired": expired}.items():
        assert [k["id"] for k in api.get(KEYS, state=state).json()["results"]] == [str(key.pk)]
    assert [k["id"] for k in api.get(KEYS, scope="batch").json()["results"]].count(
        str(revoked.pk)
    ) == 1


# Nobody climbs -----------------------------------------------------------------------------------
@pytest.mark.parametrize("scope", ["management:write", "audit:read"])
def test_a_developer_gives_no_scope_beyond_their_role(
    bob: Member, enter: Enter, scope: str
) -> None:
    key, _text = issued(bob.tenant, [scope])
    api = enter(bob)
    assert api.post(KEYS, name="up", scopes=[scope]).status_code == 403
    assert api.post(f"{KEYS}{key.pk}/rotate/").status_code == 403
    assert api.patch(f"{KEYS}{key.pk}/", name="mine").status_code == 403
    assert api.post(KEYS, name="level", scopes=["inference", "management:read"]).status_code == 201
    assert ApiKey.objects.count() == 2


BOUNDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"requests_per_minute": 10}, {"requests_per_minute": 11}),
    ({"requests_per_minute": 10}, {"requests_per_minute": 0}),
    ({"requests_per_minute": 10}, {"requests_per_minute": 10, "burst": 1_000_000}),
    ({"requests_per_minute": 10, "burst": 5}, {"requests_per_minute": 10}),
    ({"tokens_per_minute": 10}, {}),
    ({"max_concurrency": 2}, {"max_concurrency": None}),
    ({"megabytes_per_day": 100}, {"megabytes_per_day": 101}),
    ({"allowed_networks": ["127.0.0.1"]}, {}),
    ({"allowed_networks": ["127.0.0.1"]}, {"allowed_networks": ["0.0.0.0/0"]}),
    ({"allowed_models": ["small"]}, {"allowed_models": ["small", "large"]}),
    ({"local_only": True}, {}),
    ({"scopes": ["management:write"]}, {"scopes": ["management:write", "audit:read"]}),
    ({"scopes": ["management:write"]}, {"scopes": ["inference"]}),
    ({"expires_at": timezone.now() + timedelta(days=1)}, {}),
]


@pytest.mark.parametrize(("own", "asked"), BOUNDS)
def test_a_key_issues_no_key_that_may_do_more(
    acme: Tenant, with_key: Enter, own: dict[str, Any], asked: dict[str, Any]
) -> None:
    program = with_key(acme, **own)
    scopes = own.get("scopes", ["inference"])
    answer = program.post(KEYS, **{"name": "up", "scopes": scopes, **asked})
    assert answer.status_code == 403, answer.content
    assert ApiKey.objects.count() == 1


def test_a_key_widens_no_other_key(acme: Tenant, with_key: Enter) -> None:
    program = with_key(acme, requests_per_minute=10)
    narrow, _text = issued(acme, requests_per_minute=5)
    wide, _text = issued(acme)
    path = f"{KEYS}{narrow.pk}/"
    assert program.patch(path, requests_per_minute=10).status_code == 200
    assert program.patch(path, requests_per_minute=None).status_code == 403
    assert program.patch(f"{KEYS}{wide.pk}/", name="mine").status_code == 403
    assert program.post(f"{KEYS}{wide.pk}/rotate/").status_code == 403
    narrow.refresh_from_db()
    assert narrow.requests_per_minute == 10


def test_a_teams_key_issues_keys_of_its_team(acme: Tenant, with_key: Enter) -> None:
    team, other = (Team.form(acme, name, by="test") for name in ("search", "research"))
    program = with_key(acme, team=team)
    asked: dict[str, Any] = {"name": "child", "scopes": ["inference"]}
    for more in ({}, {"team": str(other.pk)}):
        assert program.post(KEYS, **asked, **more).status_code == 403
    assert program.post(KEYS, **asked, team=str(team.pk)).status_code == 201


def test_a_key_does_not_change_itself(acme: Tenant, with_key: Enter) -> None:
    program = with_key(acme)
    own = f"{KEYS}{ApiKey.objects.get().pk}/"
    assert program.patch(own, name="another").status_code == 403
    assert program.post(f"{own}rotate/").status_code == 403
    assert program.post(f"{own}revoke/").status_code == 200  # giving up is no climb
    assert program.get("me/").status_code == 401


def test_where_duties_are_apart_a_key_has_one(acme: Tenant, with_key: Enter) -> None:
    acme.change(by="test", profile="mlps-l3")
    program = with_key(acme, [Scope.MANAGEMENT_WRITE, Scope.AUDIT_READ])
    assert program.get("tenants/acme/events/").status_code == 403
    assert program.post("tenants/acme/teams/", name="search").status_code == 201
    auditor = with_key(acme, [Scope.AUDIT_READ])
    assert auditor.get("tenants/acme/events/").status_code == 200


def test_where_duties_are_apart_keys_lend_their_maker_no_second_one(
    alice: Member, erin: Member, carol: Member, bob: Member, enter: Enter, with_key: Enter
) -> None:
    """Whatever somebody holds, in person and by keys that they made before."""
    acme = alice.tenant
    programs = {
        (member, scope): with_key(acme, [scope], created_by=member)
        for member in (alice, erin, carol, bob)
        for scope in (Scope.MANAGEMENT_WRITE, Scope.AUDIT_READ)
    }
    acme.change(by="test", profile="mlps-l3")
    for (member, scope), program in programs.items():
        member.refresh_from_db()
        (place,) = program.get("me/").json()["tenants"]
        in_person = {P(p) for p in enter(member).get("me/").json()["tenants"][0]["permissions"]}
        held = in_person | {P(p) for p in place["permissions"]}
        assert len({DUTIES[p] for p in held if p in DUTIES}) == 1, (member.role, scope)
    assert programs[erin, Scope.MANAGEMENT_WRITE].post(TEAMS, name="search").status_code == 201
    assert programs[alice, Scope.MANAGEMENT_WRITE].post(TEAMS, name="more").status_code == 403
    assert programs[carol, Scope.AUDIT_READ].get("tenants/acme/events/").status_code == 200
    assert programs[alice, Scope.AUDIT_READ].get("tenants/acme/events/").status_code == 403


def test_a_keys_key_is_its_makers_too(alice: Member, erin: Member, with_key: Enter) -> None:
    program = with_key(alice.tenant, created_by=erin)
    assert program.post(KEYS, name="child", scopes=["management:write"]).status_code == 201
    assert ApiKey.objects.get(name="child").created_by == erin


def test_a_demoted_makers_key_may_no_more_than_they(
    alice: Member, erin: Member, with_key: Enter
) -> None:
    program = with_key(alice.tenant, created_by=erin)
    assert program.post(TEAMS, name="search").status_code == 201
    erin.change_role(Role.DEVELOPER, by="test")
    assert program.post(TEAMS, name="more").status_code == 403
    assert program.get("tenants/acme/events/").status_code == 403
    assert program.get(KEYS).status_code == 200
    erin.change_role(Role.MEMBER, by="test")
    assert program.get(KEYS).status_code == 403


def test_an_operator_who_is_a_member_lends_a_key_their_power(
    alice: Member, operator: User, with_key: Enter
) -> None:
    own = alice.tenant.add_member(operator, Role.MEMBER, by="test")
    program = with_key(alice.tenant, created_by=own)
    assert program.post(TEAMS, name="search").status_code == 201


# Restricted models -------------------------------------------------------------------------------
@pytest.fixture
def team(acme: Tenant) -> Team:
    """It may use the model `large`, as nobody else may."""
    team = Team.form(acme, "search", by="test")
    model_access.grant(model_access.restrict(acme, "large", by="test"), team, by="test")
    return team


def test_a_developer_gives_a_key_no_team_but_their_own(
    bob: Member, team: Team, enter: Enter
) -> None:
    key, api = issued(bob.tenant, ["inference"])[0], enter(bob)
    wanted = {"team": str(team.pk)}
    assert api.post(KEYS, name="mine", **wanted).status_code == 403
    assert api.patch(f"{KEYS}{key.pk}/", **wanted).status_code == 403
    assert ApiKey.objects.get().team is None
    team.add(bob, by="test")
    assert api.post(KEYS, name="mine", **wanted).status_code == 201
    assert api.patch(f"{KEYS}{key.pk}/", **wanted).status_code == 200
    team.take_out(bob, by="test")
    assert api.post(f"{KEYS}{key.pk}/rotate/").status_code == 403


def test_a_developer_takes_over_no_key_with_a_model_that_is_withheld_from_them(
    bob: Member, alice: Member, team: Team, enter: Enter
) -> None:
    key, _text = issued(bob.tenant, ["inference"])
    model_access.grant(RestrictedModel.objects.get(), key, by="test")
    path = f"{KEYS}{key.pk}/"
    assert enter(bob).post(f"{path}rotate/").status_code == 403
    assert enter(bob).patch(path, name="mine").status_code == 403
    assert enter(alice).patch(path, name="hers").status_code == 200
    team.add(bob, by="test")
    assert enter(bob).post(f"{path}rotate/").status_code == 201


def test_a_developers_key_reaches_no_further_than_they(
    bob: Member, team: Team, with_key: Enter
) -> None:
    program = with_key(bob.tenant, created_by=bob)
    wanted = {"scopes": ["inference"], "team": str(team.pk)}
    assert program.post(KEYS, name="up", **wanted).status_code == 403
    assert program.post(KEYS, name="level", scopes=["inference"]).status_code == 201


def test_a_developer_does_not_narrow_a_key_that_may_do_more_than_they(
    bob: Member, enter: Enter
) -> None:
    """What would be left of it is within their reach; what they take from it is not."""
    key, _text = issued(bob.tenant, ["inference", "audit:read"])
    answer = enter(bob).patch(f"{KEYS}{key.pk}/", scopes=["inference"])
    assert answer.status_code == 403
    assert set(ApiKey.objects.get().scopes) == {"inference", "audit:read"}


# Quotas ------------------------------------------------------------------------------------------
def test_a_key_whose_quota_went_over_to_its_successor_gives_out_no_keys(acme: Tenant) -> None:
    """Nothing else stands in its way: what the new keys ask for would count nowhere."""
    soon = timezone.now() + timedelta(hours=1)
    (key, text), (other, _) = issued(acme), issued(acme, expires_at=soon)
    child = {"name": "child", "scopes": ["inference"], "expires_at": soon.isoformat()}
    old = Api(Client(), text)
    assert old.post(KEYS, **child).status_code == 201
    Quota.set(acme, unit="requests", window="day", limit=1, by="test", api_key=key)
    _, fresh_text = key.rotate(by="test", overlap=timedelta(days=1))
    for program in (old, Api(Client(), fresh_text)):
        for path in (KEYS, f"{KEYS}{other.pk}/rotate/"):
            answer = program.post(path, **(child if path == KEYS else {}))
            assert answer.status_code == 403
            assert "quota of its own" in answer.json()["detail"]
    assert ApiKey.objects.count() == 4  # two, a child, a successor
