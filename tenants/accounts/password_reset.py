"""A one-time link with which somebody who has forgotten their password sets a new one.

It is shown once to whoever asked for it, who could use it: so it locks what its person wrote before
(locked_texts.py). Second factors stay. Inside a tenant it can only be made for people who belong to
no other one, and who have no role that its maker could not give: nobody takes over an account that
is more than theirs to manage.
"""

from django.db import transaction

from audit.actions import Action
from tenants.accounts import locked_texts, person_acts
from tenants.accounts.sessions import end_sessions
from tenants.models import Link, Member, User
from tenants.models.link import AlreadyUsed, Purpose
from tenants.roles import Role
from tenants.scope import person_scope, tenant_scope

DAYS = 1


class NotTheirs(Exception):
    """An operator's account, or one that belongs to another tenant too."""


def issue_for_member(member: Member, *, by: str) -> str:
    """The link's URL. Raises NotTheirs. Whether `by` may give the member's role the view asks."""
    with person_scope(member.user_id):
        elsewhere = Member.objects.filter(user=member.user).exclude(tenant=member.tenant)
        if member.user.is_operator or elsewhere.exists():
            raise NotTheirs
    with tenant_scope(member.tenant_id):
        return Link.issue(
            Purpose.RESET,
            by=by,
            email=member.user.email,
            tenant=member.tenant,
            role=Role(member.role),
            days=DAYS,
            about=member,
        )


def issue_by_operator(user: User, *, by: str) -> str:
    """For anybody's account, by an operator or a command: it belongs to the platform's record."""
    return Link.issue(Purpose.RESET, by=by, email=user.email, days=DAYS)


def use(link: Link, password: str) -> User:
    """Sets the password, ends every session, and locks older texts if the link is another's.

    The trail names who made the link: who used it, nobody knows. Raises AlreadyUsed, also where the
    password has been changed since the link was made, and NotTheirs.
    """
    with transaction.atomic():
        link.spend()
        user = User.objects.select_for_update().get(email=link.email.lower())
        if link.created_at <= user.password_changed_at:
            raise AlreadyUsed
        if link.tenant and (user.is_operator or not _of(user, link) or _grown(user, link)):
            raise NotTheirs
        user.take_password(password)
        end_sessions(user)
        made = {"link_by": link.created_by}
        person_acts.record(Action.LINK_USE, user, detail=made)
        how = {"how": "link", **made}
        person_acts.record(Action.PASSWORD_CHANGE, user, detail=how)
        locked_texts.lock(user, link)
    return user


def _grown(user: User, link: Link) -> bool:
    """Whether they have a role by now that who made the link may not give."""
    with person_scope(user.pk):
        link.role = Member.objects.get(user=user, tenant=link.tenant).role
    return not link.maker_may()


def _of(user: User, link: Link) -> bool:
    """Still a member of the link's tenant, and of no other."""
    with person_scope(user.pk):
        tenants = set(Member.objects.filter(user=user).values_list("tenant_id", flat=True))
    return tenants == {link.tenant_id}
