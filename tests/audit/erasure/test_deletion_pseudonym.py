"""After an erasure: neither the old pseudonym nor the old id leads to the person, by any table."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.utils import timezone

from audit.erasure import deletion, execution, tombstones
from audit.models import DeletionState, Event
from inference.personal_data import erasure
from tenants.accounts import password_reset
from tenants.models import ApiKey, Link, Member, Quota, QuotaRaise, Team, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import Role
from tests.audit.subjects import Subject, a_member, asked

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a-horse-in-the-forebay"  # noqa: S105 (a test's own)
UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ACCOUNTS = re.compile(r"(?:user|operator):\d+")
ZOE = "zoe@acme.example"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture
def owner(acme: Tenant) -> Member:
    member = a_member(acme, "owner", Role.OWNER).member
    assert member
    return member


@pytest.fixture
def zoe(acme: Tenant, owner: Member) -> Subject:
    """She joined by an invitation, and has done everything that leaves a trace."""
    url = Link.issue(Purpose.INVITATION, by=owner.actor, email=ZOE, tenant=acme, role=Role.ADMIN)
    link = Link.objects.by_token(url.rstrip("/").rpartition("/")[2])
    assert link
    member = Member.objects.get(user=link.use(ZOE, PASSWORD, "Zoe"))
    subject = Subject(acme, member.subject_id, "canary-zoe", member)
    asked(subject)
    Team.form(acme, "sales", by=member.actor).add(member, by=owner.actor)
    ApiKey.issue(acme, "laptop", by=member.actor, created_by=member)
    own = Quota.set(acme, unit="requests", window="day", limit=9, by=owner.actor, member=member)
    whole = Quota.set(acme, unit="requests", window="day", limit=99, by=member.actor)
    ends, user = timezone.now() + timedelta(days=2), member.user
    QuotaRaise.ask(own, 1, "a launch", ends, user=user, by=member.actor)
    QuotaRaise.ask(own, 2, "a launch", ends, user=user, by=member.actor).approve(
        user=owner.user, by=owner.actor
    )
    QuotaRaise.ask(whole, 3, "x", ends, user=owner.user, by=owner.actor).approve(
        user=user, by=member.actor
    )
    url = password_reset.issue_for_member(member, by=owner.actor)
    reset = Link.objects.by_token(url.rstrip("/").rpartition("/")[2])
    assert reset
    password_reset.use(reset, PASSWORD + "s")
    return subject


def erased(subject: Subject, **more: Any) -> None:
    request = deletion.ask(*subject.who, by="test", decides=True, **more)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE


def found_from(start: set[str], *, but: set[str]) -> set[str]:
    """Whatever rows say in one, from row to row through all tables; `but` leads everywhere."""
    rows = [_tokens(row) for table in apps.get_models() for row in table._base_manager.all()]
    known, fresh = set(start), set(start)
    while fresh:
        fresh = set().union(*(row for row in rows if row & fresh)) - known - but
        known |= fresh
    return known


def _tokens(row: Any) -> set[str]:
    """Ids, actors and accounts of a row; a number that is no account's stands for nobody."""
    found: set[str] = set()
    for field in row._meta.concrete_fields:
        said = str(getattr(row, field.attname))
        found |= {*UUIDS.findall(said), *ACCOUNTS.findall(said)}
        if field.related_model is User and said != "None":
            found.add(f"user:{said}")
    if isinstance(row, User):
        found |= {f"user:{row.pk}", row.email}
    elif ZOE in map(str, vars(row).values()):
        found.add(ZOE)
    return found


@pytest.mark.parametrize("removes", [False, True])
def test_nothing_leads_from_the_old_pseudonym_to_the_account(
    acme: Tenant, owner: Member, zoe: Subject, removes: bool
) -> None:
    assert zoe.member
    other = Tenant.open("other", by="test")
    other.add_member(zoe.member.user, Role.MEMBER, by="test")  # her account stays in any case
    account = {f"user:{zoe.member.user_id}", ZOE}
    shared = {str(t) for t in (acme.id, other.id, *Team.objects.values_list("id", flat=True))}
    shared |= {str(owner.pk), str(owner.subject_id), f"user:{owner.user_id}"}
    old = {str(zoe.id), str(zoe.member.pk)}
    assert found_from(old, but=shared) >= account  # the search finds what there is to find
    erased(zoe, removes=removes)
    assert not found_from(old, but=shared) & account
    assert User.objects.filter(email=ZOE).exists()


def test_nor_do_moments(acme: Tenant, owner: Member, zoe: Subject) -> None:
    joined = Event.objects.get(action="member:add", subject_id=zoe.id)
    assert joined.actor == f"member:{zoe.member.pk if zoe.member else ''}"
    erased(zoe)
    stays = Member.objects.get(user__email=ZOE)
    assert stays.created_at - joined.at > timedelta(0)
    assert stays.created_at > Event.objects.filter(action="deletion:request").get().at
    assert stays.team_memberships.get().created_at >= stays.created_at - timedelta(seconds=1)
    assert not Link.objects.filter(email=ZOE).exists()


def test_nor_from_where_they_are_signed_in(acme: Tenant, owner: Member, zoe: Subject) -> None:
    assert zoe.member
    for user, key in ((zoe.member.user, "hers"), (owner.user, "anothers")):
        UserSession.objects.create(
            user=user, session_key=key, ip="203.0.113.7", user_agent="Firefox", data={"x": 1}
        )
    erased(zoe)
    hers, anothers = UserSession.objects.order_by("session_key").reverse()
    assert (hers.ip, hers.user_agent, hers.data) == ("0.0.0.0", "", {})  # noqa: S104
    assert (anothers.ip, anothers.user_agent) == ("203.0.113.7", "Firefox")


def test_what_is_theirs_stays_theirs(acme: Tenant, owner: Member, zoe: Subject) -> None:
    erased(zoe)
    stays = Member.objects.get(user__email=ZOE)
    assert stays.team_memberships.count() == 1
    quota = Quota.objects.get(member=stays)
    assert [one.amount for one in QuotaRaise.objects.filter(quota=quota)] == [
        2
    ]  # 1 was not decided
    assert quota.counters.exists()


def test_a_key_that_manages_ends_with_what_its_maker_may(acme: Tenant, zoe: Subject) -> None:
    """Without a maker it would have the power of a command."""
    key, _text = ApiKey.issue(
        acme, "ci", by="test", created_by=zoe.member, scopes=["management:write"]
    )
    erased(zoe)
    key.refresh_from_db()
    assert (key.created_by, bool(key.revoked_at)) == (None, True)
    assert ApiKey.objects.get(name="laptop").revoked_at is None


def test_who_comes_by_a_link_is_recorded_as_the_member_they_become(zoe: Subject) -> None:
    acts = Event.objects.filter(action__in=("link:use", "member:add"), tenant_id=zoe.tenant.id)
    assert zoe.member
    assert {e.actor for e in acts.exclude(actor="test")} == {zoe.member.actor}
    last = acts.filter(subject_id=zoe.id).first()
    assert last
    assert UUID(last.detail["member"]) == zoe.member.pk
