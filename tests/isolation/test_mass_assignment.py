"""Fields that no form has, in every form of the console: they change nothing."""

from typing import Any

import pytest
from django.db.models import QuerySet

from console.isolation.crawler import NOBODYS, parameters
from console.isolation.expected import PAGES, ExpectedPage
from console.isolation.proof import rows_of
from console.isolation.throwaway_tenants import Stage
from tenants.models import ApiKey, Link, Member, Tenant, User
from tenants.roles import Role
from tests.isolation.conftest import As

ACTS = [page for page in PAGES if page.acts and "<slug:tenant>" in page.path and not page.once]


def planted(stage: Stage) -> dict[str, Any]:
    other = stage.other.tenant
    return {
        "tenant": str(other.id),
        "tenant_id": str(other.id),
        "priority": "100",
        "weight": "100",
        "tier": "vip",
        "state": "closing",
        "quota": "0",
        "is_staff": "on",
        "is_superuser": "on",
        "is_operator": "on",
        "subject_id": str(stage.other.chatting.subject_id),
        "user": str(stage.other.chatting.user_id),
        "created_by": "operator:1",
        "digest": "x",
        "last_used_at": "2000-01-01",
    }


@pytest.mark.parametrize("page", ACTS, ids=[page.path.split("/", 3)[3] for page in ACTS])
def test_no_form_takes_what_it_does_not_show(
    page: ExpectedPage, stage: Stage, as_person: As
) -> None:
    path = page.path.replace("<slug:tenant>", stage.own.tenant.name)
    for name, pattern in parameters(page.path):
        if name != "tenant":
            path = path.replace(pattern, _parameter(stage, name))
    before, theirs = _state(stage), rows_of(stage)
    owner = as_person(stage.own.people[Role.OWNER])
    answer = owner.post(f"/{path}", {**planted(stage), **page.form})
    assert answer.status_code < 500
    assert rows_of(stage) == theirs
    assert _state(stage) == before


def _parameter(stage: Stage, name: str) -> str:
    if name == "number":  # of a version: the first
        return "1"
    if name == "person_export":  # of nothing: there is none without its file
        return str(NOBODYS)
    if name == "upload":  # nobody but its beginner may add to one
        owner = stage.own.people[Role.OWNER].member
        assert owner
        return str(stage.own.objects.upload(owner))
    return str(stage.own.objects.fresh(name))


def test_nor_does_a_form_that_is_filled_in(stage: Stage, as_person: As) -> None:
    """Each of these is accepted; only what the form shows is taken."""
    owner, name = as_person(stage.own.people[Role.OWNER]), stage.own.tenant.name
    before, theirs = _state(stage), rows_of(stage)
    forms: dict[str, dict[str, Any]] = {
        "keys/": {"name": "planted", "days": "90", "scopes": ["inference"]},
        "members/invitation/": {"email": "planted@own.invalid", "role": "member", "days": "7"},
        "teams/": {"name": "planted"},
        "quotas/": {"scope": "", "unit": "requests", "window": "day", "limit": "1000"},
    }
    for path, form in forms.items():
        answer = owner.post(f"/console/t/{name}/{path}", {**planted(stage), **form})
        assert answer.status_code in (200, 302), path
    key = ApiKey.objects.get(name="planted")
    assert (key.tenant, key.last_used_at) == (stage.own.tenant, None)
    assert key.created_by == stage.own.people[Role.OWNER].member
    link = Link.objects.get(email="planted@own.invalid")
    assert (link.tenant, link.role) == (stage.own.tenant, Role.MEMBER)
    assert stage.own.tenant.teams.filter(name="planted").exists()
    assert rows_of(stage) == theirs
    assert _state(stage) == before


def _state(stage: Stage) -> list[Any]:
    """What nobody here may become, and what no tenant may give itself."""
    people: QuerySet[User] = User.objects.order_by("pk")
    powers = list(people.values_list("is_operator", "is_superuser", flat=False).distinct())
    staged = [p.member.pk for p in stage.own.people.values() if p.member]
    members = Member.objects.filter(pk__in=staged).order_by("pk")
    tenants = Tenant.objects.order_by("pk").values_list("tier", "state", "burst", "name")
    return [
        powers,
        people.filter(is_operator=True).count(),
        list(members.values_list("role", "user_id", "subject_id", "tenant_id")),
        list(tenants),
    ]
