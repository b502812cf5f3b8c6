"""Rules: which acts of the trail become notices, who hears of them, and which facts leave.

Facts are ids, figures and times: never a reason or another text that somebody wrote.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from audit.actions import Action
from audit.models import DeletionRequest, Event
from tenants.models import Member, QuotaRaise, User
from tenants.roles import Permission as P

People = Callable[[Event], Iterable[User]]


@dataclass(frozen=True, slots=True)
class Rule:
    event: str
    people: People
    facts: tuple[str, ...] = ()
    applies: Callable[[Event], bool] = lambda act: True
    once: Callable[[Event], str] = lambda act: f"act:{act.id}"  # a recipient hears of it once
    names_network: bool = False  # to the person alone, by mail


def holders(permission: P, tenant_id: UUID | None) -> list[User]:
    """Returns the active members whose role includes a permission."""
    members = Member.objects.filter(tenant=tenant_id, user__is_active=True)
    rows = members.select_related("user", "tenant")
    return [member.user for member in rows if member.may(permission)]


def operators() -> list[User]:
    return list(User.objects.filter(is_operator=True, is_active=True))


def _those_who(permission: P) -> People:
    """Returns those with the permission, without the person who acted."""

    def people(act: Event) -> list[User]:
        actor = _person(act.actor)
        return [user for user in holders(permission, act.tenant_id) if user != actor]

    return people


def _person(actor: str) -> User | None:
    kind, _, number = actor.partition(":")
    if kind == "member" and _is_uuid(number):
        member = Member.objects.filter(pk=number).select_related("user").first()
        return member.user if member else None
    if kind in ("user", "operator") and number.isdigit():
        return User.objects.filter(pk=number).first()
    return None


def _is_uuid(text: str) -> bool:
    """Returns False for an actor that nobody could be: no notice may wait behind its act."""
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _concerned(act: Event) -> Iterable[User]:
    """Returns the person whom an act on an account concerns, whoever acted."""
    if act.tenant_id and act.subject_id:
        rows = Member.objects.filter(tenant=act.tenant_id, subject_id=act.subject_id)
        return [member.user for member in rows.select_related("user")]
    if "user" in act.detail:
        return User.objects.filter(pk=act.detail["user"])
    person = _person(act.actor)
    return [person] if person else []


def _who_decides_raise(act: Event) -> list[User]:
    quota_raise = _raise(act)
    if quota_raise and quota_raise.quota.set_by_platform:
        return operators()
    requester = quota_raise.requested_by if quota_raise else None
    return [user for user in holders(P.APPROVE_RAISES, act.tenant_id) if user != requester]


def _who_asked_for_raise(act: Event) -> list[User]:
    """Returns the requester, unless they have left: the figures are the tenant's."""
    quota_raise = _raise(act)
    asker = quota_raise.requested_by if quota_raise else None
    if asker is None:
        return []
    stays = asker.is_operator or Member.objects.filter(tenant=act.tenant_id, user=asker).exists()
    return [asker] if stays else []


def _raise(act: Event) -> QuotaRaise | None:
    rows = QuotaRaise.objects.select_related("quota", "requested_by")
    return rows.filter(pk=act.detail.get("raise")).first()


def _who_asked_for_deletion(act: Event) -> list[User]:
    """Returns those who decide, and the requester where the account still exists."""
    people = {user.pk: user for user in _those_who(P.MANAGE_DELETIONS)(act)}
    request = DeletionRequest.objects.filter(pk=act.detail.get("request")).first()
    requester = _person(request.requested_by) if request else None
    if requester and requester.is_active:
        people[requester.pk] = requester
    return list(people.values())


def _is_invitation_used(act: Event) -> bool:
    return act.tenant_id is not None and "link_by" not in act.detail


def _of_person(act: Event) -> str:
    """An act on an account is on the trail of each of its tenants, in one transaction."""
    return f"{act.action}:{act.xid}"


def _of_account(event: str) -> Rule:
    return Rule(event, _concerned, once=_of_person, names_network=True)


_RAISE = ("raise", "quota", "amount", "unit", "window", "expires_at")
_HOLD = ("hold", "expires_at")
_DELETION = ("request", "mode", "due_at")
_DECIDES_HOLDS, _DECIDES_DELETIONS = _those_who(P.MANAGE_HOLDS), _those_who(P.MANAGE_DELETIONS)
_REVIEWS = _those_who(P.REVIEW_DECISIONS)
RULES: dict[str, Rule] = {
    Action.QUOTA_REACHED: Rule(
        "quota.reached",
        _those_who(P.MANAGE_QUOTAS),
        ("quota", "percent", "unit", "window", "limit", "used", "starts"),
    ),
    Action.RAISE_REQUEST: Rule("raise.requested", _who_decides_raise, _RAISE),
    Action.RAISE_APPROVE: Rule("raise.approved", _who_asked_for_raise, _RAISE),
    Action.RAISE_REFUSE: Rule("raise.refused", _who_asked_for_raise, _RAISE),
    Action.HOLD_REQUEST: Rule("hold.requested", _DECIDES_HOLDS, _HOLD),
    Action.HOLD_APPROVE: Rule("hold.approved", _DECIDES_HOLDS, _HOLD),
    Action.HOLD_ASK_RELEASE: Rule("hold.release_requested", _DECIDES_HOLDS, _HOLD),
    Action.HOLD_RELEASE: Rule("hold.released", _DECIDES_HOLDS, _HOLD),
    Action.DELETION_REQUEST: Rule("deletion.requested", _DECIDES_DELETIONS, _DELETION),
    Action.DELETION_APPROVE: Rule("deletion.approved", _who_asked_for_deletion, _DELETION),
    Action.DELETION_REFUSE: Rule("deletion.refused", _who_asked_for_deletion, _DELETION),
    Action.DELETION_LATE: Rule("deletion.late", _DECIDES_DELETIONS, _DELETION),
    Action.DELETION_FINISH: Rule("deletion.done", _who_asked_for_deletion, _DELETION),
    Action.SESSION_LOGIN: Rule(
        "session.new_device",
        _concerned,
        applies=lambda act: bool(act.detail.get("new_device")),
        once=_of_person,
        names_network=True,
    ),
    Action.PASSWORD_CHANGE: _of_account("password.changed"),
    Action.MFA_ADD: _of_account("factor.added"),
    Action.MFA_REMOVE: _of_account("factor.removed"),
    Action.LINK_USE: Rule(
        "invitation.accepted", _those_who(P.MANAGE_MEMBERS), applies=_is_invitation_used
    ),
    Action.CONTEST_OPEN: Rule("contest.opened", _REVIEWS, ("contest", "decision", "due_at")),
    Action.CONTEST_LATE: Rule("contest.late", _REVIEWS, ("contest", "decision", "due_at")),
}
