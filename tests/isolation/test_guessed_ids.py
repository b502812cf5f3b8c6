"""Ids of another tenant where an address has none: in forms, filters, cursors and searches."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from console.isolation.proof import rows_of
from console.isolation.throwaway_tenants import Stage
from tenants import model_access
from tenants.models import ApiKey, Quota
from tenants.roles import Role
from tests.isolation.conftest import As


def ids(stage: Stage) -> dict[str, Any]:
    found = stage.other.objects
    kinds = ("key", "member", "team", "completion", "refusal", "quota")
    return {kind: found.standing(kind) for kind in kinds}


@pytest.mark.parametrize(
    ("path", "field", "kind"),
    [
        ("requests/", "id", "completion"),
        ("usage/", "tenant", "tenant"),
        ("usage/", "team", "team"),
        ("usage/", "member", "member"),
        ("usage/", "key", "key"),
        ("usage/export/", "key", "key"),
        ("usage/export/", "tenant", "tenant"),
        ("audit/", "who", "actor"),
        ("audit/", "who", "email"),
        ("refusals/", "who", "actor"),
        ("refusals/", "who", "email"),
        ("refusals/find/", "id", "refusal"),
    ],
)
def test_a_filter_finds_nothing_of_another_tenant(
    stage: Stage, as_person: As, path: str, field: str, kind: str
) -> None:
    member = stage.other.chatting
    named = {"tenant": stage.other.tenant.id, "actor": member.actor, "email": member.user.email}
    asked = {field: str((named | ids(stage))[kind]), "range": "7d", "by": "key"}
    owner = as_person(stage.own.people[Role.OWNER])
    answer = owner.get(f"/console/t/{stage.own.tenant.name}/{path}", asked)
    text = _text(answer)
    for typed in (member.user.email, quote(member.user.email)):  # it is shown again, and in links
        text = text.replace(typed, "")
    assert answer.status_code < 500
    assert stage.other.secret not in text
    assert stage.other.tenant.name not in text


@pytest.mark.parametrize("path", ["requests/", "audit/", "refusals/"])
def test_a_cursor_of_another_tenant_shows_ones_own_rows(
    stage: Stage, as_person: As, path: str
) -> None:
    later = (timezone.now() + timedelta(days=1)).isoformat()
    for pk in (*ids(stage).values(), 1, 2**40):
        owner = as_person(stage.own.people[Role.OWNER])
        asked = {"cursor": f"{later}~{pk}"}
        answer = owner.get(f"/console/t/{stage.own.tenant.name}/{path}", asked)
        assert answer.status_code in (200, 404)
        assert stage.other.secret not in _text(answer)


def test_no_form_takes_a_strangers_thing(stage: Stage, as_person: As) -> None:
    theirs, before = ids(stage), rows_of(stage)
    owner, name = as_person(stage.own.people[Role.OWNER]), stage.own.tenant.name
    restricted = model_access.restrict(stage.own.tenant, "mock", by="test")
    team = stage.own.objects.standing("team")
    quota = {"unit": "requests", "window": "day", "limit": "1000"}
    key = {"name": "crossed", "days": "90", "scopes": ["inference"], "team": theirs["team"]}
    forms: list[tuple[str, dict[str, Any]]] = [
        ("keys/", key),
        (f"teams/{team}/joining/", {"member": theirs["member"]}),
        ("models/granting/", {"model": "mock", "holder": f"team:{theirs['team']}"}),
        ("models/granting/", {"model": "mock", "holder": f"key:{theirs['key']}"}),
        ("models/withdrawal/", {"model": "mock", "holder": f"key:{theirs['key']}"}),
        ("quotas/", {**quota, "scope": f"api_key:{theirs['key']}"}),
        ("quotas/", {**quota, "scope": f"member:{theirs['member']}"}),
    ]
    for path, form in forms:
        answer = owner.post(f"/console/t/{name}/{path}", form)
        assert answer.status_code in (200, 404), (path, answer.status_code)
        assert stage.other.secret not in _text(answer)
    assert rows_of(stage) == before
    assert not ApiKey.objects.filter(name="crossed").exists()
    assert not Quota.objects.filter(tenant=stage.own.tenant, limit=1000).exists()
    assert model_access.holders(restricted) == []


def _text(answer: Any) -> str:
    """Also of a file that is streamed: its pieces are read in the test's own transaction."""
    return "" if answer.streaming else str(answer.content.decode())
