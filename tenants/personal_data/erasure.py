"""What `tenants` holds of a person: the link from their pseudonym to them, refusals, kept answers.

A person who stays a member becomes somebody new to the trail: with a new pseudonym and a new id,
so that neither of the old ones leads to anybody.
"""

from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.db.models import ForeignObjectRel, Model, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.erasure import tombstones
from audit.erasure.erasers import Eraser, Evidence, Turn, register
from tenants.accounts.sessions import end_sessions, forget_places
from tenants.models import (
    ApiKey,
    IdempotentRequest,
    Link,
    Member,
    Quota,
    QuotaRaise,
    Refusal,
    TeamMembership,
    User,
)
from tenants.models.api_key import ERASED
from tenants.models.member import LastOwner
from tenants.models.quota_raise import RaiseState

BY = "system"
NOBODY = "erased"
MADE_ANEW = (Member, Quota)


def _people(tenant_id: UUID, subject_id: UUID) -> QuerySet[Member]:
    return Member.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def _keys(tenant_id: UUID, subject_id: UUID) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def _actors(tenant_id: UUID, subject_id: UUID) -> list[str]:
    who = tenant_id, subject_id
    return [member.actor for member in _people(*who)] + [key.actor for key in _keys(*who)]


# Refusals and answers ----------------------------------------------------------------------------
def _refusals(tenant_id: UUID, subject_id: UUID) -> QuerySet[Refusal]:
    actors = _actors(tenant_id, subject_id)
    return Refusal.objects.filter(tenant_id=tenant_id, actor__in=actors)


def _erase_refusals(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Who and where from goes; that something was refused stays in the figures."""
    changed = _refusals(tenant_id, subject_id).update(actor=NOBODY, client_net=None)
    return {"refusals": changed}


def _answers(tenant_id: UUID, subject_id: UUID) -> QuerySet[IdempotentRequest]:
    actors = _actors(tenant_id, subject_id)
    return IdempotentRequest.objects.filter(tenant_id=tenant_id, actor__in=actors)


def _erase_answers(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return {"answers": _answers(tenant_id, subject_id).delete()[0]}


# Who it is ---------------------------------------------------------------------------------------
def _forget(tenant_id: UUID, subject_id: UUID) -> Evidence:
    who = tenant_id, subject_id
    leaves = tombstones.removes(*who)
    found = {"members": 0, "keys": 0, "accounts": 0, "removed": 0}
    for member in _people(*who).select_related("user", "tenant"):
        found["members"] += 1
        if _let_go(member, leaves=leaves):
            found["removed"] += 1
            found["accounts"] += _close_account(member.user)
    for key in _keys(*who):
        found["keys"] += 1
        if leaves:
            key.revoke(by=BY)
            key.delete()
            found["removed"] += 1
        else:
            _with_new_id(key, subject_id=uuid4())
    return found


def _known(tenant_id: UUID, subject_id: UUID) -> int:
    return _people(tenant_id, subject_id).count() + _keys(tenant_id, subject_id).count()


def _let_go(member: Member, *, leaves: bool) -> bool:
    """Whether they are no member any more."""
    _unsign(member)
    if leaves:
        try:
            member.remove(by=BY)
            return True
        except LastOwner:  # the tenant could never be managed again: they stay, unknown
            pass
    _with_new_id(member, subject_id=uuid4())
    forget_places(member.user)
    return False


def _close_account(user: User) -> int:
    """1 when nothing else holds it. What it leaves behind is found by its address only."""
    if user.is_operator or user.memberships.exists():
        return 0
    for name in ("AccessAttempt", "AccessFailureLog", "AccessLog"):
        apps.get_model("axes", name).objects.filter(username__iexact=user.email).delete()
    Link.objects.filter(email__iexact=user.email, tenant=None).delete()  # an operator's
    end_sessions(user)
    user.delete()
    return 1


def _unsign(member: Member) -> None:
    """What the trail names, and names its maker, does not know them any more. The power of their
    keys ends.
    """
    keys = ApiKey.objects.filter(tenant_id=member.tenant_id)
    keys.end_power_of(member.actor, by=BY, why="erased")
    keys.filter(created_by=member).update(created_by=None)
    for key in keys.depending_on(member.actor):
        for people in (key.grantors, key.holders):
            people[:] = [ERASED if who == member.actor else who for who in people]
        key.save(update_fields=["grantors", "holders"])
    of_tenant = QuotaRaise.objects.filter(tenant_id=member.tenant_id)
    of_tenant.filter(requested_by=member.user, state=RaiseState.REQUESTED).delete()
    for name in ("requested_by", "decided_by"):
        of_tenant.filter(**{name: member.user}).update(**{name: None})
    Link.objects.filter(tenant_id=member.tenant_id, email__iexact=member.user.email).delete()


def _with_new_id(one: Model, **also: Any) -> None:
    """What belongs to it comes along. Events name ids, and happened when something was made."""
    after: dict[str, Any] = {"id": uuid4(), **also}
    if isinstance(one, MADE_ANEW):
        after["created_at"] = timezone.now()
    for relation in one._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel):
            _follow(relation, one.pk, after["id"])
    type(one)._base_manager.filter(pk=one.pk).update(**after)


def _follow(relation: ForeignObjectRel, before: UUID, after: UUID) -> None:
    table, field = relation.related_model, relation.field
    rows = table._base_manager.filter(**{field.attname: before})
    for row in rows if table in (Quota, QuotaRaise) else ():
        _with_new_id(row)
    made = {"created_at": timezone.now()} if table is TeamMembership else {}
    rows.update(**{field.attname: None if _is_history(table) else after}, **made)


def _is_history(table: type[Model]) -> bool:
    """What was asked for stays as it is, also under whom."""
    return bool(getattr(table, "is_history", False))


def register_erasers() -> None:
    refusals, answers = _("Refusals"), _("Answers kept for requests that are repeated")
    turn = Turn.CONTENT
    register(
        Eraser("refusals", refusals, turn, _erase_refusals, lambda *who: _refusals(*who).count())
    )
    register(Eraser("answers", answers, turn, _erase_answers, lambda *who: _answers(*who).count()))
    register(Eraser("pseudonym", _("Whose the pseudonym is"), Turn.IDENTITY, _forget, _known))
