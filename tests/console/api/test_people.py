"""Members, invitations, roles, teams and what is granted to them."""

from typing import Any

import pytest

from audit.models import Event
from tenants import model_access
from tenants.models import Link, Member, Quota, RestrictedModel, Team
from tests.console.api.conftest import Api, Enter, errors, issued

T = "tenants/acme/"


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


def test_members_are_listed_found_and_changed(api: Api, bob: Member, carol: Member) -> None:
    listed = api.get(f"{T}members/", role="developer").json()["results"]
    assert [m["email"] for m in listed] == ["bob@acme.example"]
    assert api.get(f"{T}members/", email="CAROL@acme.example").json()["results"][0]["id"] == str(
        carol.pk
    )
    path = f"{T}members/{bob.pk}/"
    assert api.patch(path, role="auditor").json()["role"] == "auditor"
    assert Event.objects.get(action="member:role").detail["role"] == ["developer", "auditor"]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert not Member.objects.filter(pk=bob.pk).exists()


def test_the_last_owner_stays(api: Api, alice: Member) -> None:
    path = f"{T}members/{alice.pk}/"
    for answer in (api.patch(path, role="member"), api.delete(path)):
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:forebay:problem:last_owner"
    alice.refresh_from_db()
    assert alice.role == "owner"


def test_an_invitations_link_is_shown_once_and_can_be_revoked(api: Api, alice: Member) -> None:
    answer = api.post(f"{T}invitations/", email="New@acme.example", role="developer", days=3)
    assert answer.status_code == 201, answer.content
    said = answer.json()
    token = said.pop("link").rstrip("/").rpartition("/")[2]
    link = Link.objects.by_token(token)
    assert link
    assert (str(link.pk), link.role, link.created_by) == (said["id"], "developer", alice.actor)
    assert api.get(answer.headers["Location"]).json() == said
    assert api.get(f"{T}invitations/").json()["results"] == [said]
    assert api.delete(answer.headers["Location"]).status_code == 204
    assert Link.objects.by_token(token) is None
    assert api.get(f"{T}invitations/").json()["results"] == []


def test_a_member_is_not_invited(api: Api, bob: Member) -> None:
    answer = api.post(f"{T}invitations/", email="BOB@acme.example", role="member")
    assert answer.status_code == 409
    assert not Link.objects.exists()


def test_the_matrix_is_that_of_the_tenants_profile(api: Api, alice: Member) -> None:
    def held(permission: str) -> set[str]:
        (line,) = [
            p for p in api.get(f"{T}roles/").json()["permissions"] if p["permission"] == permission
        ]
        return {*line["roles"], *line["scopes"]}

    assert held("audit:view") == {"owner", "admin", "auditor", "operator", "audit:read"}
    alice.tenant.change(by="test", profile="mlps-l3")
    assert held("audit:view") == {"auditor", "audit:read"}
    assert "management:write" not in held("members:manage")


def test_a_key_does_not_disband_the_team_whose_budget_binds_it(
    api: Api, alice: Member, with_key: Enter
) -> None:
    team = Team.form(alice.tenant, "search", by="test")
    limit: dict[str, Any] = {"unit": "tokens", "window": "day", "limit": 9}
    Quota.set(alice.tenant, team=team, by="test", **limit)
    path = f"{T}teams/{team.pk}/"
    assert with_key(alice.tenant, team=team).delete(path).status_code == 403
    assert Quota.objects.exists()
    assert with_key(alice.tenant).delete(path).status_code == 204


def test_a_team_with_a_budget_of_the_platforms_stays(api: Api, alice: Member) -> None:
    team = Team.form(alice.tenant, "search", by="test")
    limit: dict[str, Any] = {"unit": "tokens", "window": "day", "limit": 9}
    Quota.set(alice.tenant, team=team, by="test", platform=True, **limit)
    answer = api.delete(f"{T}teams/{team.pk}/")
    assert (answer.status_code, answer.json()["type"]) == (
        403,
        "urn:forebay:problem:set_by_platform",
    )
    assert Quota.objects.exists()


def test_a_team_and_its_places(api: Api, bob: Member) -> None:
    answer = api.post(f"{T}teams/", name="search")
    path = answer.headers["Location"]
    assert (answer.status_code, answer.json()["name"]) == (201, "search")
    assert api.post(f"{T}teams/", name="search").status_code == 400
    assert api.patch(path, name="find").json()["name"] == "find"
    for _twice in range(2):
        place = api.post(f"{path}places/", member=str(bob.pk))
        assert (place.status_code, place.json()["email"]) == (201, "bob@acme.example")
    assert len(api.get(f"{path}places/").json()["results"]) == 1
    assert [m["id"] for m in api.get(f"{T}members/", team=answer.json()["id"]).json()["results"]]
    assert api.delete(place.headers["Location"]).status_code == 204
    assert api.get(f"{path}places/").json()["results"] == []
    assert api.delete(path).status_code == 204
    words = Event.objects.filter(action__startswith="team:").order_by("id")
    assert [event.action for event in words] == [
        "team:create",
        "team:change",
        "team:join",
        "team:leave",
        "team:delete",
    ]


def test_a_model_is_restricted_granted_and_opened(api: Api, alice: Member) -> None:
    team = Team.form(alice.tenant, "search", by="test")
    key, _text = issued(alice.tenant)
    answer = api.post(f"{T}restricted-models/", name="large/one")
    path = answer.headers["Location"]
    assert (answer.status_code, answer.json()["grants"]) == (201, [])
    said = api.post(f"{path}grant/", team=str(team.pk)).json()
    assert said["grants"] == [{"kind": "team", "id": str(team.pk), "name": "search"}]
    assert len(api.post(f"{path}grant/", key=str(key.pk)).json()["grants"]) == 2
    assert model_access.holders(RestrictedModel.objects.get()) == [team, key]
    assert len(api.post(f"{path}withdraw/", team=str(team.pk)).json()["grants"]) == 1
    for body in ({}, {"team": str(team.pk), "key": str(key.pk)}):
        assert list(errors(api.post(f"{path}grant/", **body))) == [""]
    assert api.delete(path).status_code == 204
    assert not RestrictedModel.objects.exists()
