"""One-time links to set a new password after it was forgotten.

A link is shown once, to its maker, who could use it: therefore it locks the person's older texts
(text_lock.py). Second factors stay. Inside a tenant a link can only be made for people who
belong to no other tenant, and whose role its maker could assign, so that nobody takes over an
account beyond their own powers.
"""

from django.db import transaction

from audit.actions import Action
from tenants.accounts import person_acts, text_lock
from tenants.accounts.sessions import end_sessions
from tenants.models import Link, Member, Tenant, User
from tenants.models.link import AlreadyUsed, Purpose
from tenants.roles import Role
from tenants.scope import person_scope, tenant_scope

DAYS = 1
MAILED_DAYS = 1 / 24


class NotTheirs(Exception):
    """The account is an operator's, or belongs to another tenant too."""


def issue_for_member(member: Member, *, by: str) -> str:
    """Returns the URL. Raises NotTheirs. The view checks that `by` may assign the member's role."""
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
    """Returns a link for any account, by an operator or a command, in the platform's record."""
    return Link.issue(Purpose.RESET, by=by, email=user.email, days=DAYS)


def issue_by_mail(user: User) -> str:
    """Returns a link for the person's own mailbox. It replaces an earlier one."""
    earlier = Link.objects.filter(purpose=Purpose.RESET, created_by=Link.MAILBOX, used_at=None)
    with transaction.atomic():
        earlier.filter(email=user.email).delete()
        return Link.issue(Purpose.RESET, by=Link.MAILBOX, email=user.email, days=MAILED_DAYS)


def use(link: Link, password: str) -> User:
    """Sets the password, ends every session, and locks older texts if the link is another person's.

    The trail names the link's maker, since its user is unknown. Raises AlreadyUsed, also if the
    password was changed after the link was made, and NotTheirs.
    """
    with transaction.atomic():
        link.spend()
        user = User.objects.select_for_update().get(email=link.email.lower())
        if link.created_at <= user.password_changed_at:
            raise AlreadyUsed
        if link.tenant:
            _refuse_unless_theirs(user, link, link.tenant)
        user.take_password(password)
        end_sessions(user)
        detail = {"link_by": link.created_by}
        person_acts.record(Action.LINK_USE, user, detail=detail)
        person_acts.record(Action.PASSWORD_CHANGE, user, detail={"how": "link", **detail})
        text_lock.lock(user, link)
    return user


def _refuse_unless_theirs(user: User, link: Link, tenant: Tenant) -> None:
    """Raises NotTheirs, also for a role by now that the link's maker may not assign."""
    with person_scope(user.pk):
        roles = dict(Member.objects.filter(user=user).values_list("tenant_id", "role"))
    if user.is_operator or set(roles) != {tenant.id}:
        raise NotTheirs
    link.role = roles[tenant.id]
    if not link.maker_may():
        raise NotTheirs
