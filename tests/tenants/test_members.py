"""Members and their roles: a tenant keeps an owner, and what a role gave ends with it."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.retention import legal_hold
from tenants.models import ApiKey, Link, Member, Quota, Team, Tenant
from tenants.models.link import Purpose
from tenants.models.member import LastOwner
from tenants.roles import Permission, Profile, Role
from tests import people


def join(tenant: Tenant, name: str, role: Role) -> Member:
    return people.join(tenant, f"{name}@{tenant.name}.example", role, "a long passphrase")


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob", Role.DEVELOPER)


def test_a_role_is_changed(alice: Member, bob: Member) -> None:
    bob.change_role(Role.AUDITOR, by="test")
    bob.change_role(Role.AUDITOR, by="test")
    assert Member.objects.get(pk=bob.pk).may(Permission.VIEW_AUDIT)
    event = Event.objects.get(action=Action.MEMBER_ROLE)
    assert event.detail == {"member": str(bob.id), "role": ["developer", "auditor"]}
    assert (event.tenant_id, event.subject_id) == (bob.tenant_id, bob.subject_id)


def test_a_role_that_does_not_exist(alice: Member, bob: Member) -> None:
    with pytest.raises(ValueError, match="guest"):
        bob.change_role("guest", by="test")  # type: ignore[arg-type]
    assert Member.objects.get(pk=bob.pk).role == Role.DEVELOPER


def test_who_is_under_a_hold_stays(alice: Member, bob: Member) -> None:
    ends = timezone.now() + timedelta(days=1)
    hold = legal_hold.request(
        bob.tenant_id, by="user:8", reason="case", expires_at=ends, subject_id=bob.subject_id
    )
    with pytest.raises(legal_hold.OnHold):
        bob.remove(by="test")
    assert Member.objects.filter(pk=bob.pk).exists()
    assert not Event.objects.filter(action=Action.MEMBER_REMOVE).exists()
    legal_hold.release(hold, by="user:9", reason="over")
    legal_hold.release(hold, by="user:7", reason="over")
    bob.remove(by="test")


def test_the_last_owner_stays_one(alice: Member, bob: Member) -> None:
    with pytest.raises(LastOwner):
        alice.change_role(Role.ADMIN, by="test")
    with pytest.raises(LastOwner):
        alice.remove(by="test")
    assert Member.objects.get(pk=alice.pk).role == Role.OWNER
    bob.change_role(Role.OWNER, by="test")
    alice.change_role(Role.ADMIN, by="test")
    with pytest.raises(LastOwner):
        bob.remove(by="test")
    alice.remove(by="test")
    assert Event.objects.filter(action=Action.MEMBER_REMOVE).count() == 1


def test_of_two_owners_who_leave_at_once_one_stays(acme: Tenant) -> None:
    owners = [join(acme, name, Role.OWNER) for name in ("alice", "bob")]
    start, refused = threading.Barrier(2), list[Member]()

    def leave(owner: Member) -> None:
        start.wait()
        try:
            owner.remove(by="test")
        except LastOwner:
            refused.append(owner)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[owner]) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert acme.members.filter(role=Role.OWNER).count() == 1


def test_a_removed_member_leaves_nothing_that_opens(acme: Tenant, alice: Member) -> None:
    bob = join(acme, "bob", Role.ADMIN)
    team = Team.form(acme, "research", by="test")
    team.add(bob, by="test")
    for by, email in [(bob.actor, "x@acme.example"), ("test", bob.user.email)]:
        Link.issue(Purpose.INVITATION, by=by, email=email, tenant=acme, role=Role.MEMBER)
    other = Link.issue(Purpose.INVITATION, by=alice.actor, email="y@acme.example", tenant=acme)
    bob.remove(by="test")
    assert not team.memberships.exists()
    (kept,) = Link.objects.invitations(acme)
    assert kept.email == "y@acme.example"
    assert other


def test_who_leaves_takes_the_keys_along_that_manage(acme: Tenant, alice: Member) -> None:
    bob = join(acme, "bob", Role.ADMIN)
    scopes = [["inference"], ["inference", "management:write"], ["audit:read"], ["management:read"]]
    keys = [ApiKey.issue(acme, "x", by="t", created_by=bob, scopes=s)[0] for s in scopes]
    hers = ApiKey.issue(acme, "x", by="t", created_by=alice, scopes=["management:write"])[0]
    bob.remove(by=alice.actor)
    assert set(ApiKey.objects.live()) == {keys[0], hers}
    events = Event.objects.filter(action=Action.API_KEY_REVOKE, actor=alice.actor)
    assert {event.detail["key"] for event in events} == {str(key.pk) for key in keys[1:]}
    assert {event.detail["reason"] for event in events} == {"its maker was removed"}


def test_a_quota_that_ends_with_its_member_is_on_record(acme: Tenant, bob: Member) -> None:
    quota = Quota.set(acme, member=bob, unit="tokens", window="day", limit=9, by="test")
    bob.remove(by="test")
    assert not Quota.objects.exists()
    assert Event.objects.get(action=Action.QUOTA_DELETE).detail["quota"] == str(quota.pk)


def test_added_twice_is_one_member(acme: Tenant, alice: Member) -> None:
    again = acme.add_member(alice.user, Role.MEMBER, by="test")
    assert (again.pk, again.role) == (alice.pk, Role.OWNER)
    assert Event.objects.filter(action=Action.MEMBER_ADD).count() == 1


def test_nobody_gives_a_role_that_may_do_more(acme: Tenant, alice: Member, bob: Member) -> None:
    admin = join(acme, "eve", Role.ADMIN)
    assert all(alice.may_give(role) for role in Role)
    given = {role for role in Role if admin.may_give(role)}
    assert given == {Role.ADMIN, Role.DEVELOPER, Role.MEMBER}  # auditors read prompts
    assert not any(bob.may_give(role) for role in Role)
    acme.change(by="test", profile=Profile.MLPS)
    alice.refresh_from_db()
    assert all(alice.may_give(role) for role in Role)
    admin.refresh_from_db()
    assert not any(admin.may_give(role) for role in Role)  # people are security's business there


# Teams -------------------------------------------------------------------------------------------
def test_a_team_from_beginning_to_end(acme: Tenant, alice: Member, bob: Member) -> None:
    team = Team.form(acme, "research", by="test")
    group = team.group
    for _ in range(2):
        team.add(alice, by="test")
    team.add(bob, by="test")
    team.rename("science", by="test")
    for _ in range(2):
        team.take_out(alice, by="test")
    assert [found.name for found in Team.objects.filter(memberships__member=bob)] == ["science"]
    assert not Team.objects.filter(memberships__member=alice).exists()
    team.disband(by="test")
    assert not type(group).objects.filter(pk=group.pk).exists()
    acts = Event.objects.filter(action__startswith="team:").order_by("id")
    assert [event.action for event in acts] == [
        "team:create",
        "team:join",
        "team:join",
        "team:change",
        "team:leave",
        "team:delete",
    ]


def test_a_strangers_member_joins_no_team(acme: Tenant, globex: Tenant) -> None:
    team, charlie = Team.form(acme, "research", by="test"), join(globex, "charlie", Role.OWNER)
    with pytest.raises(ValidationError):
        team.add(charlie, by="test")
    assert not team.memberships.exists()


@pytest.mark.parametrize("name", ["", "x" * 81, "research"])
def test_a_teams_name(acme: Tenant, globex: Tenant, name: str) -> None:
    Team.form(acme, "research", by="test")
    other = Team.form(acme, "sales", by="test")
    with pytest.raises(ValidationError):
        Team.form(acme, name, by="test")
    with pytest.raises(ValidationError):
        other.rename(name, by="test")
    assert Team.form(globex, "research", by="test").name == "research"
    assert acme.teams.count() == 2
