"""What `tenants` holds of a person: the link from their pseudonym to them, refusals, kept answers.

A person who stays a member becomes somebody new to the trail: with a new pseudonym and a new id,
so that neither of the old ones leads to anybody.
"""

from uuid import UUID, uuid4

from django.apps import apps
from django.db import transaction
from django.db.models import ForeignObjectRel, Model, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from audit import tombstones
from audit.erasers import Eraser, Evidence, Turn, register
from tenants.models import ApiKey, IdempotentRequest, Link, Member, Refusal, User
from tenants.models.member import LastOwner
from tenants.signed_in import end_sessions

BY = "system"
NOBODY = "erased"


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
    found = {"members": 0, "keys": 0, "accounts": 0}
    for member in _people(*who).select_related("user", "tenant"):
        found["accounts"] += _let_go(member, leaves=leaves)
        found["members"] += 1
    for key in _keys(*who):
        found["keys"] += 1
        if leaves:
            key.revoke(by=BY)
            key.delete()
        else:
            _renew(key)
    return found


def _known(tenant_id: UUID, subject_id: UUID) -> int:
    return _people(tenant_id, subject_id).count() + _keys(tenant_id, subject_id).count()


def _let_go(member: Member, *, leaves: bool) -> int:
    """1 when the person's account went too: it had no other membership."""
    user = member.user
    if leaves:
        try:
            with transaction.atomic():
                email = Q(email__iexact=user.email, tenant_id=member.tenant_id)
                member.remove(by=BY)
                Link.objects.filter(email).delete()
                return _close_account(user)
        except LastOwner:  # the tenant could never be managed again: they stay, unknown
            pass
    _renew(member)
    return 0


def _close_account(user: User) -> int:
    if user.is_operator or user.memberships.exists():
        return 0
    for name in ("AccessAttempt", "AccessFailureLog", "AccessLog"):
        apps.get_model("axes", name).objects.filter(username__iexact=user.email).delete()
    end_sessions(user)
    user.delete()
    return 1


def _renew(one: Member | ApiKey) -> None:
    """A new pseudonym and a new id. What they own comes along; what they asked for does not."""
    before, after = one.pk, uuid4()
    for relation in one._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel):
            continue
        table, field = relation.related_model, relation.field
        rows = table._base_manager.filter(**{field.attname: before})
        rows.update(**{field.attname: None if _is_history(table) else after})
    type(one)._base_manager.filter(pk=before).update(id=after, subject_id=uuid4())


def _is_history(table: type[Model]) -> bool:
    return table._meta.label == "inference.Completion"


def register_erasers() -> None:
    refusals, answers = _("Refusals"), _("Answers kept for requests that are repeated")
    turn = Turn.CONTENT
    register(
        Eraser("refusals", refusals, turn, _erase_refusals, lambda *who: _refusals(*who).count())
    )
    register(Eraser("answers", answers, turn, _erase_answers, lambda *who: _answers(*who).count()))
    register(Eraser("pseudonym", _("Whose the pseudonym is"), Turn.WHO, _forget, _known))
