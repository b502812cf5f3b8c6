"""The whole table: every route x every role and scope, own tenant and foreign. No row missing."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from audit.models import Event
from tenants.models import ApiKey, Link, Member, Scope, Tenant, User
from tenants.roles import Role
from tests.console.api.conftest import API, Api, Enter
from tests.console.api.who_may_what import OPEN, TABLE, T, ask, shape

INSIDE = [row for row in TABLE if T in row]


@pytest.fixture
def everybody(
    alice: Member,
    erin: Member,
    bob: Member,
    carol: Member,
    dave: Member,
    operator: User,
    enter: Enter,
    with_key: Enter,
) -> dict[str, Api]:
    alice.tenant.change(by="test", requests_per_minute=0)  # the table is long
    people = {m.role: enter(m) for m in (alice, erin, bob, carol, dave)}
    programs = {scope.value: with_key(alice.tenant, [scope.value]) for scope in Scope}
    return people | programs | {"operator": enter(operator)}


@pytest.fixture
def givers(everybody: dict[str, Api], acme: Tenant, with_key: Enter) -> dict[str, Api]:
    return everybody | {"all scopes": with_key(acme)}


@pytest.mark.slow(seconds=30)
@pytest.mark.timeout(300)
def test_only_those_may_who_stand_in_the_table(everybody: dict[str, Api]) -> None:
    found = {
        row: {name for name, api in everybody.items() if ask(api, row).status_code != 403}
        for row in TABLE
    }
    assert found == {row: set(names.split()) for row, names in TABLE.items()}


def test_a_foreign_tenant_does_not_exist(
    acme: Tenant, charlie: Member, enter: Enter, with_key: Enter
) -> None:
    charlie.tenant.change(by="test", requests_per_minute=0)  # the table is long
    for stranger in (enter(charlie), with_key(charlie.tenant)):
        for row in INSIDE:
            answers = [ask(stranger, row), ask(stranger, row.replace("acme", "nowhere"))]
            assert {answer.status_code for answer in answers} == {404}, row
            said = [{**answer.json(), "instance": ""} for answer in answers]
            assert said[0] == said[1], row
    assert Event.objects.filter(action="access:denied", tenant_id=charlie.tenant_id).exists()


def test_nobody_gets_nothing(acme: Tenant) -> None:
    for row in TABLE:
        answer = ask(Api(Client()), row)
        assert answer.status_code == 401, row
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_table_is_whole() -> None:
    assert {shape(row) for row in TABLE} | OPEN == set(_routes())


def _routes() -> Iterator[str]:
    for path, pattern in _patterns(get_resolver().url_patterns):
        if path.startswith(API.lstrip("/")) and pattern.name not in ("schema", "docs", None):
            raise AssertionError(path)
        if path.startswith(API.lstrip("/")):
            where = re.sub(r"<[^>]+>", "*", path.removeprefix(API.lstrip("/")))
            verbs = getattr(pattern.callback, "actions", None) or {"get": ""}
            if where:  # the last one catches what is nowhere
                yield from (f"{verb.upper()} {where}" for verb in verbs if verb != "head")


def _patterns(patterns: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, path)
        else:
            yield path, pattern


# What a person gives and takes: roles, not permissions -------------------------------------------
GIVES = {
    "owner": "owner admin developer auditor member",
    "admin": "admin developer member",  # no auditors: they read prompts
    "operator": "owner admin developer auditor member",
    "management:write": "",  # a person outlives and exceeds every key
    "all scopes": "",
}


def test_roles_are_given_from_above_only(givers: dict[str, Api], acme: Tenant) -> None:
    def gives(number: int, api: Api, role: str) -> bool:
        body = {"email": f"{role}@new-{number}.example", "role": role}
        answer = api.post(f"{T}invitations/", **body)
        assert answer.status_code in (201, 403), answer.content
        return bool(answer.status_code == 201)

    roles = ("owner", "admin", "developer", "auditor", "member")
    given = {
        giver: {role for role in roles if gives(number, givers[giver], role)}
        for number, giver in enumerate(GIVES)
    }
    assert given == {giver: set(names.split()) for giver, names in GIVES.items()}


def test_a_key_lowers_a_role_and_raises_none(
    givers: dict[str, Api], bob: Member, dave: Member
) -> None:
    for giver in ("management:write", "all scopes"):
        api = givers[giver]

        def changed(member: Member, role: str, api: Api = api) -> int:
            path = f"{T}members/{member.pk}/"
            etag = givers["owner"].get(path).headers["ETag"]
            return int(api.patch(path, etag, role=role).status_code)

        assert changed(dave, "developer") == changed(dave, "auditor") == 403
        assert changed(bob, "auditor") == changed(bob, "admin") == 403
        assert changed(bob, "member") == 200
        bob.refresh_from_db()
        bob.change_role(Role.DEVELOPER, by="test")


def test_whatever_a_key_of_a_day_makes_ends_with_it(givers: dict[str, Api], acme: Tenant) -> None:
    """Neither by a new key, nor by a rotation, nor by a person who makes keys."""
    day = timezone.now() + timedelta(days=1)
    bounds: dict[str, Any] = {
        "scopes": ["management:read", "management:write"],
        "allowed_networks": ["127.0.0.1"],
    }
    _key, text = ApiKey.issue(acme, "of a day", by="test", expires_at=day, **bounds)
    other, _ = ApiKey.issue(acme, "old", by="test", scopes=["management:read"])
    api = Api(Client(), text)
    for body in (
        {},
        {"expires_at": (day + timedelta(hours=1)).isoformat(), "allowed_networks": ["127.0.0.1"]},
        {"expires_at": day.isoformat()},
        {"expires_at": day.isoformat(), "allowed_networks": ["127.0.0.0/8"]},
    ):
        body = {"name": "child", "scopes": ["management:read"], **body}
        assert api.post(f"{T}keys/", **body).status_code == 403, body
    inference = {"name": "child", "scopes": ["inference"], "allowed_networks": ["127.0.0.1"]}
    assert api.post(f"{T}keys/", **inference, expires_at=day.isoformat()).status_code == 403
    assert api.post(f"{T}keys/{other.pk}/rotate/").status_code == 403
    refused = api.post(f"{T}invitations/", email="me@evil.example", role="member")
    assert (refused.status_code, refused.json()["type"][-13:]) == (403, "person_needed")
    assert not Link.objects.exists()
    child = {"name": "child", "scopes": ["management:read"], "allowed_networks": ["127.0.0.1"]}
    assert api.post(f"{T}keys/", **child, expires_at=day.isoformat()).status_code == 201


def test_nobody_unmakes_who_stands_above_them(
    givers: dict[str, Api], alice: Member, erin: Member, carol: Member
) -> None:
    for giver in ("admin", "management:write", "all scopes"):
        above = [alice, carol] if giver == "admin" else [alice, erin, carol]
        for member in above:
            path, tag = f"{T}members/{member.pk}/", givers["owner"]
            etag = tag.get(path).headers["ETag"]
            assert givers[giver].patch(path, etag, role="member").status_code == 403, giver
            assert givers[giver].delete(path, etag).status_code == 403, giver
            member.refresh_from_db()
    assert (alice.role, erin.role, carol.role) == ("owner", "admin", "auditor")


def test_nobody_becomes_more_by_changing_their_own_role(
    alice: Member, erin: Member, operator: User, givers: dict[str, Api]
) -> None:
    path = f"{T}members/{erin.pk}/"
    assert givers["admin"].patch(path, role="auditor").status_code == 403
    own = alice.tenant.add_member(operator, Role.MEMBER, by="test")
    assert givers["operator"].patch(f"{T}members/{own.pk}/", role="owner").status_code == 403
    assert givers["operator"].patch(path, role="auditor").status_code == 200
    own.refresh_from_db()
    assert own.role == "member"
