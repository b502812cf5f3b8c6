"""A key may no more than the weakest of who made, widened or rotated it may today."""

import re
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from audit.actions import Action
from audit.models import Event
from tenants.models import ApiKey, Member, Team, Tenant, User
from tenants.models.key_permissions import permissions_of
from tenants.personal_data import erasure
from tenants.roles import Permission as P
from tenants.roles import Role
from tests.console.api.conftest import Api, Enter, issued
from tests.console.conftest import SignIn

KEYS, MEMBERS, EVENTS = "tenants/acme/keys/", "tenants/acme/members/", "tenants/acme/events/"
PAGE = "/console/t/acme/keys/"
HOUR = timedelta(hours=1)
WIDE = ["inference", "management:read", "management:write", "audit:read"]


def widened_in_the_console(client: Client, key: ApiKey) -> None:
    sent = {"name": key.name, "scopes": WIDE, "expires_at": ""}
    assert client.post(f"{PAGE}{key.pk}/", sent).status_code == 302


def rotated_in_the_console(client: Client, key: ApiKey) -> str:
    page = client.post(f"{PAGE}{key.pk}/rotation/", {"hours": "24"}).content.decode()
    found = re.search(r'value="(sk-fb-[^"]+)"', page)
    assert found
    return found[1]


def manages(program: Api) -> tuple[int, int]:
    """What comes of a look at the people, and at the trail."""
    return program.get(MEMBERS).status_code, program.get(EVENTS).status_code


def of_the_platform(acme: Tenant, **settings: Any) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="command:create_api_key", **settings)[0]


# The story ---------------------------------------------------------------------------------------
def test_a_dismissed_administrator_keeps_nothing_of_a_key_that_the_command_line_made(
    acme: Tenant, alice: Member, erin: Member, sign_in: SignIn
) -> None:
    key, client = of_the_platform(acme), sign_in(erin)
    widened_in_the_console(client, key)
    text = rotated_in_the_console(client, key)
    program = Api(Client(), text)
    assert manages(program) == (200, 200)
    answer = sign_in(alice).post(f"/console/t/acme/members/{erin.pk}/removal/")
    assert answer.status_code == 302
    assert manages(program) == (403, 403)
    assert program.get("me/").json()["tenants"][0]["permissions"] == []
    said = Event.objects.filter(action=Action.API_KEY_CHANGE, actor=alice.actor)
    assert {event.detail["reason"] for event in said} == {"who widened or rotated it was removed"}


def test_nor_of_another_owners_key_over_the_api(
    acme: Tenant, alice: Member, erin: Member, enter: Enter
) -> None:
    hers, _text = issued(acme, WIDE, created_by=alice)
    api = enter(erin)
    answer = api.post(f"{KEYS}{hers.pk}/rotate/")
    program = Api(Client(), answer.json()["secret"])
    assert answer.json()["depends_on"] == [alice.actor, erin.actor]
    assert manages(program) == (200, 200)
    removed = enter(alice).delete(f"{MEMBERS}{erin.pk}/")
    assert removed.status_code == 204
    assert manages(program) == (403, 403)
    hers.refresh_from_db()
    assert hers.grantors == [alice.actor], "its text was not shown to who rotated it"
    assert P.MANAGE_MEMBERS in permissions_of(hers)


def test_nor_of_a_key_whose_maker_had_left_before(
    acme: Tenant, alice: Member, bob: Member, erin: Member, enter: Enter
) -> None:
    """Nobody gives it power again: it depends on somebody who is not there."""
    key, _text = issued(acme, ["inference"], created_by=bob)
    enter(alice).delete(f"{MEMBERS}{bob.pk}/")
    key.refresh_from_db()
    assert (key.created_by, key.revoked_at) == (None, None)
    answer = enter(erin).patch(f"{KEYS}{key.pk}/", scopes=WIDE)
    assert answer.status_code == 400
    assert "Create a new key" in str(answer.json())
    assert ApiKey.objects.get(pk=key.pk).scopes == ["inference"]


def test_a_demotion_narrows_it_at_once_and_a_promotion_gives_it_back(
    acme: Tenant, erin: Member, enter: Enter
) -> None:
    key = of_the_platform(acme)
    assert enter(erin).patch(f"{KEYS}{key.pk}/", scopes=WIDE).status_code == 200
    program = Api(Client(), enter(erin).post(f"{KEYS}{key.pk}/rotate/").json()["secret"])
    erin.change_role(Role.DEVELOPER, by="test")
    assert manages(program) == (200, 403)
    erin.change_role(Role.MEMBER, by="test")
    assert manages(program) == (403, 403)
    erin.change_role(Role.ADMIN, by="test")
    assert manages(program) == (200, 200)


def test_so_it_is_for_who_may_not_sign_in_any_more(acme: Tenant, erin: Member) -> None:
    key, _text = issued(acme, WIDE, created_by=erin)
    User.objects.filter(pk=erin.user_id).update(is_active=False)
    assert permissions_of(key) == frozenset()


# Who is one of them ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"requests_per_minute": 5}, {"requests_per_minute": 6}),
        ({"allowed_networks": ["192.0.2.0/24"]}, {"allowed_networks": []}),
        ({"allowed_models": ["small"]}, {"allowed_models": ["small", "large"]}),
        ({"scopes": ["inference"]}, {"scopes": ["inference", "audit:read"]}),
    ],
)
def test_who_widens_a_key_in_any_way(
    acme: Tenant, erin: Member, before: dict[str, Any], after: dict[str, Any]
) -> None:
    key = of_the_platform(acme, **before)
    key.change(by=erin.actor, **after)
    assert ApiKey.objects.get(pk=key.pk).grantors == [erin.actor]
    key.change(by=erin.actor, **before)
    assert ApiKey.objects.get(pk=key.pk).grantors == [erin.actor]


def test_who_puts_it_into_a_team(acme: Tenant, erin: Member) -> None:
    key, team = of_the_platform(acme), Team.form(acme, "research", by="test")
    key.change(by=erin.actor, team=team)
    assert ApiKey.objects.get(pk=key.pk).grantors == [erin.actor]


def test_not_who_narrows_or_renames_it(acme: Tenant, alice: Member, erin: Member) -> None:
    key, _text = issued(acme, WIDE, created_by=alice)
    key.change(by=erin.actor, name="new", requests_per_minute=5, scopes=["audit:read"])
    assert ApiKey.objects.get(pk=key.pk).grantors == [alice.actor]


def test_a_keys_own_people_stand_for_what_it_makes(
    acme: Tenant, alice: Member, erin: Member, enter: Enter
) -> None:
    parent = of_the_platform(acme)
    parent.change(by=erin.actor, scopes=WIDE)
    program = Api(Client(), enter(alice).post(f"{KEYS}{parent.pk}/rotate/").json()["secret"])
    child = program.post(KEYS, name="child", scopes=["management:read"]).json()
    assert child["depends_on"] == [erin.actor, alice.actor]
    assert child["created_by"] is None
    erin.remove(by="test")
    assert manages(Api(Client(), child["secret"])) == (401, 401), "nothing but power was in it"


def test_an_operators_key_ends_with_their_office(acme: Tenant, operator: User) -> None:
    other = User.objects.create_user("op2@forebay.example", is_operator=True)
    key, _text = ApiKey.issue(acme, "ci", by=operator.actor, scopes=WIDE)
    assert P.MANAGE_MEMBERS in permissions_of(key)
    operator.stop_operating(by=other.actor)
    key = ApiKey.objects.get(pk=key.pk)
    assert (key.scopes, permissions_of(key)) == (["inference"], frozenset())


def test_a_scope_that_one_of_them_may_not_give_is_refused_with_the_way_out(
    acme: Tenant, alice: Member, bob: Member, sign_in: SignIn
) -> None:
    key, _text = issued(acme, ["inference"], created_by=bob)
    client = sign_in(alice)
    sent = {"name": key.name, "scopes": ["inference", "audit:read"], "expires_at": ""}
    page = client.post(f"{PAGE}{key.pk}/", sent).content.decode()
    assert "audit:read" in page
    assert "Create a new key." in page
    assert ApiKey.objects.get(pk=key.pk).scopes == ["inference"]


def test_the_pages_say_on_whom_a_key_depends(
    acme: Tenant, alice: Member, erin: Member, sign_in: SignIn
) -> None:
    key = of_the_platform(acme, scopes=WIDE)
    client = sign_in(alice)
    assert "the platform" in client.get(f"{PAGE}{key.pk}/").content.decode()
    fresh, _text = key.rotate(by=erin.actor, overlap=HOUR)
    page = client.get(f"{PAGE}{fresh.pk}/").content.decode()
    assert "erin@acme.example" in page
    assert "less than its scopes say" not in page
    hers = client.get(f"/console/t/acme/members/{erin.pk}/").content.decode()
    assert f"{PAGE}{fresh.pk}/" in hers
    erin.change_role(Role.DEVELOPER, by="test")
    assert "less than its scopes say" in client.get(f"{PAGE}{fresh.pk}/").content.decode()


# What there was before ---------------------------------------------------------------------------
def test_keys_of_before_depend_on_whom_the_trail_names(
    acme: Tenant, alice: Member, erin: Member
) -> None:
    made, _text = issued(acme, ["inference"], created_by=alice)
    untouched = of_the_platform(acme, scopes=WIDE)
    taken = of_the_platform(acme)
    taken.change(by=erin.actor, scopes=WIDE)
    fresh, _text = taken.rotate(by=alice.actor, overlap=HOUR)
    renamed = of_the_platform(acme, scopes=WIDE)
    renamed.change(by=erin.actor, name="other")
    ApiKey.objects.update(grantors=[])
    as_recorded()
    found = {key.pk: sorted(key.grantors) for key in ApiKey.objects.all()}
    assert found[made.pk] == [alice.actor]
    assert found[untouched.pk] == found[renamed.pk] == []
    assert found[fresh.pk] == sorted([alice.actor, erin.actor])


def as_recorded() -> None:
    migration = import_module("tenants.migrations.0004_key_grantors")
    with connection.cursor() as cursor:
        cursor.execute(migration.AS_RECORDED)


def test_an_erased_person_leaves_a_key_without_power(acme: Tenant, alice: Member) -> None:
    key, _text = issued(acme, ["inference"], created_by=alice)
    erasure._forget(acme.id, alice.subject_id)
    key.refresh_from_db()
    assert key.grantors == ["erased"]
    with pytest.raises(ValidationError):
        key.change(by="test", scopes=["audit:read"])
