"""Invitations: they work once, in time, and not longer than the power of who made them."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Event
from tenants.models import ApiKey, Link, Member, Tenant, User
from tenants.models.link import AlreadyUsed, Purpose, WrongPassword
from tenants.models.tenant import OperatorsStayOut
from tenants.roles import Profile, Role
from tests import people

PASSWORD = "a forebay holds the river"


def join(tenant: Tenant, name: str, role: Role) -> Member:
    return people.join(tenant, f"{name}@{tenant.name}.example", role, PASSWORD)


def invited(
    tenant: Tenant, by: str = "test", role: Role = Role.MEMBER, email: str = "new@acme.example"
) -> Link:
    url = Link.issue(Purpose.INVITATION, by=by, email=email, tenant=tenant, role=role)
    link = Link.objects.by_token(token(url))
    assert link
    return link


def token(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]


def refused(link: Link) -> bool:
    try:
        link.use("", PASSWORD)
    except AlreadyUsed:
        return not User.objects.filter(email="new@acme.example").exists()
    return False


def test_used_once(acme: Tenant) -> None:
    link = invited(acme)
    user = link.use("", PASSWORD)
    assert user.memberships.get().tenant == acme
    with pytest.raises(AlreadyUsed):
        link.use("", PASSWORD)


def test_used_by_many_at_once(acme: Tenant) -> None:
    for purpose, tenant in [(Purpose.INVITATION, acme), (Purpose.FIRST_RUN, None)]:
        url = Link.issue(purpose, by="test", tenant=tenant, role=Role.MEMBER)
        link, used = Link.objects.by_token(token(url)), list[int]()
        assert link

        def use(n: int, link: Link = link, used: list[int] = used) -> None:
            try:
                link.use(f"{link.purpose}{n}@acme.example", PASSWORD)
                used.append(n)
            except AlreadyUsed:
                pass
            finally:
                connection.close()

        threads = [threading.Thread(target=use, args=[n]) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(used) == 1


def test_revoked(acme: Tenant) -> None:
    link = invited(acme)
    for _ in range(2):
        link.revoke(by="test")
    assert refused(link)
    assert not Link.objects.invitations(acme).exists()
    assert Event.objects.filter(action="link:revoke").count() == 1


def test_a_used_one_is_not_revoked(acme: Tenant) -> None:
    link = invited(acme)
    link.use("", PASSWORD)
    link.revoke(by="test")
    assert Link.objects.count() == 1
    assert not Event.objects.filter(action="link:revoke").exists()


def test_expired(acme: Tenant) -> None:
    link = invited(acme)
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refused(link)


def test_a_tenant_that_is_not_open_takes_nobody_in(acme: Tenant) -> None:
    link = invited(acme)
    acme.suspend(by="test", reason="not paid")
    assert refused(link)
    assert not Link.objects.invitations(acme).exists()
    acme.resume(by="test")
    assert list(Link.objects.invitations(acme)) == [link]
    acme.close(by="test", reason="over")
    assert refused(link)


def test_invitations_are_the_tenants_own_and_open(acme: Tenant, globex: Tenant) -> None:
    first, second = (invited(acme, email=f"{name}@acme.example") for name in ("one", "two"))
    invited(globex)
    Link.issue(Purpose.FIRST_RUN, by="test", tenant=acme)
    assert list(Link.objects.invitations(acme)) == [second, first]


# It does not outlive the power of its maker ------------------------------------------------------
def test_its_maker_was_demoted(acme: Tenant) -> None:
    join(acme, "alice", Role.OWNER)
    bob = join(acme, "bob", Role.ADMIN)
    link = invited(acme, by=bob.actor)
    bob.change_role(Role.DEVELOPER, by="test")
    assert refused(link)
    bob.change_role(Role.ADMIN, by="test")
    assert link.use("", PASSWORD).email == "new@acme.example"


def test_an_administrator_no_longer_an_owner_has_promised_too_much(acme: Tenant) -> None:
    join(acme, "alice", Role.OWNER)
    bob = join(acme, "bob", Role.OWNER)
    link = invited(acme, by=bob.actor, role=Role.OWNER)
    bob.change_role(Role.ADMIN, by="test")
    assert refused(link)


@pytest.mark.parametrize("gone", ["removed", "inactive"])
def test_its_maker_is_gone(acme: Tenant, gone: str) -> None:
    join(acme, "alice", Role.OWNER)
    bob = join(acme, "bob", Role.ADMIN)
    link = invited(acme, by=bob.actor)
    if gone == "removed":
        bob.remove(by="test")
    else:
        User.objects.filter(pk=bob.user_id).update(is_active=False)
    assert refused(link)


def test_its_maker_is_no_operator_any_more(acme: Tenant) -> None:
    erin = User.objects.create_user("erin@forebay.example", is_operator=True)
    link = invited(acme, by=erin.actor)
    User.objects.update(is_operator=False)
    assert refused(link)
    User.objects.update(is_operator=True)
    assert link.use("", PASSWORD).email == "new@acme.example"


def test_an_invitation_of_a_key_opens_nothing(acme: Tenant) -> None:
    """Made before only people invited: a person would outlive the key, and exceed it."""
    key, _ = ApiKey.issue(acme, "x", by="t", scopes=["management:write"])
    url = Link.issue(Purpose.INVITATION, by=key.actor, email="new@acme.example", tenant=acme)
    assert Link.objects.by_token(token(url)) is None
    assert refused(Link.objects.get())


@pytest.mark.parametrize("who", ["owner", "operator"])
def test_an_invitation_sets_no_password_of_somebody_who_is_there(acme: Tenant, who: str) -> None:
    """Nor of one who has none: any tenant invites whom it likes."""
    globex = Tenant.open("globex", by="test")
    user = User.objects.create_user("new@acme.example", is_operator=who == "operator")
    if who == "owner":
        globex.add_member(user, Role.OWNER, by="test")
    link = invited(acme)
    assert link.account() == user
    with pytest.raises(WrongPassword):
        link.use("", PASSWORD)
    assert not User.objects.get(pk=user.pk).has_usable_password()


# Where duties are kept apart ---------------------------------------------------------------------
def test_operators_bring_in_the_first_owner_only() -> None:
    erin = User.objects.create_user("erin@forebay.example", is_operator=True)
    tenant = Tenant.open("apart", by="test", profile=Profile.MLPS)
    emails = ("one@apart.example", "two@apart.example")
    first, second = (invited(tenant, erin.actor, Role.OWNER, email) for email in emails)
    assert first.use("", PASSWORD).memberships.get().role == Role.OWNER
    with pytest.raises(AlreadyUsed):
        second.use("", PASSWORD)


def test_an_operator_cannot_follow_an_invitation() -> None:
    tenant = Tenant.open("apart", by="test", profile=Profile.MLPS)
    User.objects.create_user("new@acme.example", PASSWORD, is_operator=True)
    link = invited(tenant)
    with pytest.raises(OperatorsStayOut):
        link.use("", PASSWORD)
    assert not tenant.members.exists()
    assert list(Link.objects.invitations(tenant)) == [link]


def test_no_member_becomes_an_operator() -> None:
    tenant = Tenant.open("apart", by="test", profile=Profile.MLPS)
    join(tenant, "alice", Role.OWNER)
    link = Link.objects.by_token(token(Link.issue(Purpose.FIRST_RUN, by="test")))
    assert link
    with pytest.raises(OperatorsStayOut):
        link.use("alice@apart.example", PASSWORD)
    assert not User.objects.filter(is_operator=True).exists()


pytestmark = pytest.mark.django_db(transaction=True)
