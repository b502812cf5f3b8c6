"""Ids of another tenant, guessed or known, open nothing: in paths, bodies, filters and cursors."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants import model_access
from tenants.models import Link, Member, Quota, Refusal, Team, Tenant
from tenants.models.link import Purpose
from tenants.models.quotas.quota_raise import QuotaRaise
from tests.console.api.conftest import Api, Enter, errors, issued


class Theirs:
    """One of each that belongs to globex."""

    def __init__(self, charlie: Member) -> None:
        tenant = charlie.tenant
        self.member = charlie
        self.key = issued(tenant)[0]
        self.team = Team.form(tenant, "theirs", by="test")
        self.team.add(charlie, by="test")
        self.quota = Quota.set(tenant, unit="requests", window="day", limit=5, by="test")
        ends = timezone.now() + timedelta(days=1)
        self.quota_raise = QuotaRaise.ask(
            self.quota, 5, "more", ends, user=charlie.user, by=charlie.actor
        )
        self.model = model_access.restrict(tenant, "large", by="test")
        Link.issue(Purpose.INVITATION, by="test", email="x@globex.example", tenant=tenant)
        self.invitation = Link.objects.get(tenant=tenant)
        self.refusal = _refusal(tenant)


def _refusal(tenant: Tenant) -> Refusal:
    now = timezone.now()
    moments = dict.fromkeys(("minute", "first_at", "last_at", "frees_at"), now)
    return Refusal.objects.create(
        tenant=tenant, actor="key:x", tier="rate", limit=1, used=1, **moments
    )


@pytest.fixture
def theirs(charlie: Member) -> Theirs:
    return Theirs(charlie)


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


PATHS = [
    "members/{0.member.pk}/",
    "invitations/{0.invitation.pk}/",
    "teams/{0.team.pk}/",
    "teams/{0.team.pk}/places/",
    "teams/{0.team.pk}/places/{0.member.pk}/",
    "restricted-models/{0.model.pk}/",
    "restricted-models/{0.model.pk}/grant/",
    "keys/{0.key.pk}/",
    "keys/{0.key.pk}/rotate/",
    "keys/{0.key.pk}/schedule/",
    "keys/{0.key.pk}/collect/",
    "keys/{0.key.pk}/revoke/",
    "quotas/{0.quota.pk}/",
    "quotas/{0.quota.pk}/standing/",
    "raises/{0.quota_raise.pk}/",
    "raises/{0.quota_raise.pk}/approve/",
    "refusals/ref_{0.refusal.pk.hex}/",
]


@pytest.mark.parametrize("path", PATHS)
def test_in_a_path(path: str, api: Api, theirs: Theirs, charlie: Member, enter: Enter) -> None:
    path = path.format(theirs)
    bodies = {"patch": {"name": "mine", "role": "member", "limit": 1}, "delete": None}
    for method in ("get", "post", "patch", "delete"):
        body = bodies.get(method, {})
        answer = api.send(method, f"tenants/acme/{path}", body, {"If-Match": "*"})
        assert answer.status_code in (400, 404, 405), (method, answer.content)
        assert "globex" not in answer.content.decode()
    there = enter(charlie).get(f"tenants/globex/{path}")
    assert there.status_code in (200, 405)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("keys/", {"name": "x", "team": "{0.team.pk}"}),
        ("quotas/", {"unit": "tokens", "window": "day", "limit": 1, "key": "{0.key.pk}"}),
        ("quotas/", {"unit": "tokens", "window": "day", "limit": 1, "member": "{0.member.pk}"}),
        ("raises/", {"quota": "{0.quota.pk}", "amount": 1, "reason": "x", "expires_at": "SOON"}),
        ("teams/{1.pk}/places/", {"member": "{0.member.pk}"}),
        ("restricted-models/{2.pk}/grant/", {"team": "{0.team.pk}"}),
        ("restricted-models/{2.pk}/grant/", {"key": "{0.key.pk}"}),
    ],
)
def test_in_a_body(path: str, body: dict[str, Any], api: Api, acme: Tenant, theirs: Theirs) -> None:
    team = Team.form(acme, "ours", by="test")
    model = model_access.restrict(acme, "large", by="test")
    soon = (timezone.now() + timedelta(days=1)).isoformat()
    asked = {
        name: v.format(theirs).replace("SOON", soon) if isinstance(v, str) else v
        for name, v in body.items()
    }
    answer = api.post(f"tenants/acme/{path.format(theirs, team, model)}", **asked)
    assert answer.status_code == 400
    named = [n for n, v in body.items() if isinstance(v, str) and v.startswith("{")]
    assert list(errors(answer)) == named


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("members/", {"team": "{0.team.pk}"}),
        ("keys/", {"team": "{0.team.pk}"}),
        ("keys/", {"created_by": "{0.member.pk}"}),
        ("teams/", {"member": "{0.member.pk}"}),
        ("quotas/", {"key": "{0.key.pk}"}),
        ("notices/", {"quota": "{0.quota.pk}"}),
        ("raises/", {"quota": "{0.quota.pk}"}),
        ("refusals/", {"quota": "{0.quota.pk}"}),
        ("events/", {"actor": "{0.member.actor}"}),
        ("events/", {"actor": "{0.key.actor}"}),
    ],
)
def test_in_a_filter(path: str, query: dict[str, str], api: Api, theirs: Theirs) -> None:
    asked = {name: value.format(theirs) for name, value in query.items()}
    answer = api.get(f"tenants/acme/{path}", **asked)
    assert answer.json() == {"results": [], "next_cursor": None}


def test_in_a_usage_report_and_its_file(api: Api, theirs: Theirs) -> None:
    for name in ("key", "member", "team"):
        asked = {name: str(getattr(theirs, name).pk)}
        answer = api.get("tenants/acme/usage/", **asked)
        assert answer.json()["total"]["requests"] == 0
        assert answer.json()["groups"] == []
    assert api.get("tenants/acme/usage/", tenant=str(theirs.member.tenant_id)).status_code == 400
    answer = api.get("tenants/acme/usage/export/", form="csv", tenant="globex")
    assert answer.status_code == 400


def test_in_a_cursor(api: Api, theirs: Theirs, charlie: Member, enter: Enter) -> None:
    for name in ("a", "b", "c"):
        Team.form(charlie.tenant, name, by="test")
    stranger = enter(charlie)
    cursor = stranger.get("tenants/globex/teams/", limit="1").json()["next_cursor"]
    assert stranger.get("tenants/globex/teams/", cursor=cursor).status_code == 200
    answer = api.get("tenants/acme/teams/", cursor=cursor)
    assert (answer.status_code, list(errors(answer))) == (400, ["cursor"])
