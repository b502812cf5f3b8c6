"""Erases a person's data in `tenants`: the link from pseudonym to person, refusals, stored answers.

A person who stays a member gets a new pseudonym and id: the old ones lead to nobody.
"""

from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.db.models import Exists, ForeignObjectRel, Model, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.erasure import tombstones
from audit.erasure.erasers import Eraser, ErasureTurn, Evidence, register, some
from audit.models import Event, Tombstone
from tenants.accounts.sessions import end_sessions, forget_places
from tenants.models import (
    ApiKey,
    IdempotentRequest,
    Link,
    Member,
    Notice,
    Person,
    Quota,
    QuotaRaise,
    Refusal,
    TeamMembership,
    User,
)
from tenants.models.api_key import ERASED
from tenants.models.member import LastOwner
from tenants.models.quotas.quota_raise import RaiseState

BY = "system"
HISTORY = 100_000  # rows in one transaction
NOBODY = "erased"
WITH_NEW_DATE = (Member, Quota)  # their date of creation would reveal the old id's events


def _people(tenant_id: UUID, subject_id: UUID) -> QuerySet[Member]:
    return Member.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def _keys(tenant_id: UUID, subject_id: UUID) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id)


def _others(tenant_id: UUID, subject_id: UUID) -> QuerySet[Person]:
    return Person.objects.filter(tenant_id=tenant_id, pk=subject_id)


def actors_of(tenant_id: UUID, subject_id: UUID) -> list[str]:
    """Returns who the subject is, or was, as an actor of the trail."""
    who = tenant_id, subject_id
    present = [member.actor for member in _people(*who)] + [key.actor for key in _keys(*who)]
    return present + _former_actors(*who)


def _former_actors(tenant_id: UUID, subject_id: UUID) -> list[str]:
    """Returns the actor of a person who left the tenant, and whom only the trail knows."""
    left = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    ids = left.filter(action=Action.MEMBER_REMOVE).values_list("detail__member", flat=True)
    return [f"member:{member_id}" for member_id in ids]


# Refusals and answers ----------------------------------------------------------------------------
def _refusals(tenant_id: UUID, subject_id: UUID) -> QuerySet[Refusal]:
    actors = actors_of(tenant_id, subject_id)
    return Refusal.objects.filter(tenant_id=tenant_id, actor__in=actors)


def _erase_refusals(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Erases caller and origin; the fact of the refusal stays for statistics."""
    changed = _refusals(tenant_id, subject_id).update(actor=NOBODY, client_net=None)
    return {"refusals": changed}


def _answers(tenant_id: UUID, subject_id: UUID) -> QuerySet[IdempotentRequest]:
    actors = actors_of(tenant_id, subject_id)
    return IdempotentRequest.objects.filter(tenant_id=tenant_id, actor__in=actors)


def _erase_answers(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return {"answers": _answers(tenant_id, subject_id).delete()[0]}


# Notices -----------------------------------------------------------------------------------------
def _notices(tenant_id: UUID, subject_id: UUID) -> QuerySet[Notice]:
    users = _people(tenant_id, subject_id).values("user")
    return Notice.objects.filter(tenant_id=tenant_id, user__in=users)


def _erase_notices(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return {"notices": _notices(tenant_id, subject_id).delete()[0]}


# Identity ----------------------------------------------------------------------------------------
def _forget(tenant_id: UUID, subject_id: UUID) -> Evidence:
    who = tenant_id, subject_id
    if (history := _leave_history(*who)) >= HISTORY:
        return {"history": history}
    leaves = tombstones.removes(*who)
    counts = {"history": history, "members": 0, "keys": 0, "accounts": 0, "removed": 0}
    for person in _others(*who):
        person.delete()
        counts["people"] = 1
    for member in _people(*who).select_related("user", "tenant"):
        counts["members"] += 1
        if _erase_member(member, leaves=leaves):
            counts["removed"] += 1
            counts["accounts"] += _close_account(member.user)
    for key in _keys(*who):
        counts["keys"] += 1
        if leaves:
            key.revoke(by=BY)
            key.delete()
            counts["removed"] += 1
        else:
            _change_id(key, subject_id=uuid4())
    return counts


def _leave_history(tenant_id: UUID, subject_id: UUID) -> int:
    """Takes members and keys out of rows of past requests, HISTORY at most. Returns how many."""
    who, count = (tenant_id, subject_id), 0
    for owner in (*_people(*who), *_keys(*who)):
        for relation in _relations(owner):
            if getattr(relation.related_model, "is_history", False):
                name = relation.field.attname
                rows = relation.related_model._base_manager.filter(tenant_id=tenant_id)
                owned = some(rows.filter(**{name: owner.pk}), HISTORY - count)
                count += owned.update(**{name: None})
    return count


def _relations(row: Model) -> list[ForeignObjectRel]:
    fields = row._meta.get_fields(include_hidden=True)
    return [relation for relation in fields if isinstance(relation, ForeignObjectRel)]


def _remaining(tenant_id: UUID, subject_id: UUID) -> int:
    who = tenant_id, subject_id
    return sum(rows(*who).count() for rows in (_people, _keys, _others))


def _owners_back() -> list[UUID]:
    """Returns erased requests whose member, key or person is there, as after a restore."""
    owner = {"tenant_id": OuterRef("tenant_id"), "subject_id": OuterRef("subject_id")}
    person = Person.objects.filter(tenant_id=OuterRef("tenant_id"), pk=OuterRef("subject_id"))
    owners = Member.objects.filter(**owner), ApiKey.objects.filter(**owner), person
    is_back = reduce(or_, map(Exists, owners), Q())
    return list(Tombstone.objects.filter(is_back).values_list("request_id", flat=True))


def _erase_member(member: Member, *, leaves: bool) -> bool:
    """Removes the member, or makes them unknown if they stay. Returns True if removed."""
    _detach(member)
    if leaves:
        try:
            member.remove(by=BY)
            return True
        except LastOwner:  # nobody could manage the tenant any more: the member stays, unknown
            pass
    _change_id(member, subject_id=uuid4())
    forget_places(member.user)
    return False


def _close_account(user: User) -> int:
    """Deletes an account that nothing else needs, and traces of its address. Returns how many."""
    if user.is_operator or user.memberships.exists():
        return 0
    for name in ("AccessAttempt", "AccessFailureLog", "AccessLog"):
        apps.get_model("axes", name).objects.filter(username__iexact=user.email).delete()
    Link.objects.filter(email__iexact=user.email, tenant=None).delete()  # links by operators
    end_sessions(user)
    user.delete()
    return 1


def _detach(member: Member) -> None:
    """Removes the member from rows that name a maker, and ends the power of their keys."""
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


def _change_id(row: Model, **also: Any) -> None:
    """Gives a row a new id and date, since events name ids and times. Dependent rows follow."""
    after: dict[str, Any] = {"id": uuid4(), **also}
    if isinstance(row, WITH_NEW_DATE):
        after["created_at"] = timezone.now()
    for relation in _relations(row):
        _follow(relation, row.pk, after["id"])
    type(row)._base_manager.filter(pk=row.pk).update(**after)


def _follow(relation: ForeignObjectRel, before: UUID, after: UUID) -> None:
    table, field = relation.related_model, relation.field
    rows = table._base_manager.filter(**{field.attname: before})
    for row in rows if table in (Quota, QuotaRaise) else ():
        _change_id(row)
    date = {"created_at": timezone.now()} if table is TeamMembership else {}
    # Tables of past requests keep their facts and owners.
    is_history = getattr(table, "is_history", False)
    rows.update(**{field.attname: None if is_history else after}, **date)


def register_erasers() -> None:
    refusals, answers = _("Refusals"), _("Idempotent replies")
    turn = ErasureTurn.CONTENT
    register(
        Eraser("refusals", refusals, turn, _erase_refusals, lambda *who: _refusals(*who).count())
    )
    notices, count = _("Notices by mail"), lambda *who: _notices(*who).count()
    register(Eraser("notices", notices, turn, _erase_notices, count))
    register(Eraser("answers", answers, turn, _erase_answers, lambda *who: _answers(*who).count()))
    tombstones.register_owners_back(_owners_back)
    whose = _("Whose the pseudonym is")
    of_identity = ErasureTurn.IDENTITY, _forget, _remaining
    register(Eraser("pseudonym", whose, *of_identity, portion=HISTORY))
