"""Legal holds: what must be kept for a court is neither erased nor dropped, whoever asks for it.

One person places a hold, another one approves it; one asks for its release, another one approves
that; and nobody renews it twice running. People are compared as `person`, which stays the same in
every tenant and role; `by` is the actor as the trail writes it. How long a hold waits for approval,
and whether it keeps something meanwhile, the database says (sql/5_retention.sql).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import LegalHold
from audit.trail.record import act

LONGEST = timedelta(days=365)
LONGEST_REASON = 500


class HoldRefused(Exception):
    """A hold cannot be changed like this."""


class SamePerson(HoldRefused):
    """Who places a hold does not approve it; nor who asks for its release, or renewed it last."""


class Ended(HoldRefused):
    """It has expired, was released, or waited too long for approval."""


class AlreadyApproved(HoldRefused):
    pass


class OnHold(Exception):
    """What was to be erased must be kept."""

    def __init__(self, hold: LegalHold) -> None:
        super().__init__(f"legal hold {hold.id}")
        self.hold = hold


# What holds --------------------------------------------------------------------------------------
def holding(at: datetime | None = None) -> QuerySet[LegalHold]:
    """Those in force at a moment, of every tenant that may be seen."""
    at = at or timezone.now()
    unreleased = Q(released_at=None) | Q(released_at__gt=at)
    approved = Q(approved_at__lte=at) | Q(holds_meanwhile=True, waits_until__gt=at)
    return LegalHold.objects.filter(
        unreleased, approved, requested_at__lte=at, expires_at__gt=at
    ).order_by("requested_at", "id")


def in_force(
    tenant_id: UUID, subject_id: UUID | None = None, at: datetime | None = None
) -> LegalHold | None:
    """A hold on the subject or on the whole tenant; without a subject: any hold of the tenant."""
    holds = holding(at).filter(tenant_id=tenant_id)
    if subject_id:
        holds = holds.filter(Q(subject_id=None) | Q(subject_id=subject_id))
    return holds.first()


def covering(
    begins: datetime, ends: datetime, tenant_ids: Sequence[UUID] | None = None
) -> LegalHold | None:
    """A hold in force now over anything between two moments, of these tenants or of any."""
    holds = holding().filter(
        Q(covers_from=None) | Q(covers_from__lt=ends),
        Q(covers_until=None) | Q(covers_until__gt=begins),
    )
    if tenant_ids is not None:
        holds = holds.filter(tenant_id__in=tenant_ids)
    return holds.first()


def refuse_if_held(tenant_id: UUID, subject_id: UUID | None = None) -> None:
    """Raises OnHold. Until the open transaction ends, no new hold of the tenant comes into force:
    one that is placed meanwhile waits, and sees what the transaction has done.
    """
    _lock(tenant_id, shared=True)
    if hold := in_force(tenant_id, subject_id):
        raise OnHold(hold)


def held_subjects(tenant_id: UUID, before: datetime) -> frozenset[UUID]:
    """Of whom nothing older than `before` may go. Raises OnHold when that is everybody; until the
    open transaction ends, nobody is added (see `refuse_if_held`).
    """
    _lock(tenant_id, shared=True)
    held = holding().filter(Q(covers_from=None) | Q(covers_from__lt=before), tenant_id=tenant_id)
    for hold in held:
        if hold.subject_id is None:
            raise OnHold(hold)
    return frozenset(hold.subject_id for hold in held if hold.subject_id)


# What people do ----------------------------------------------------------------------------------
def request(
    tenant_id: UUID,
    *,
    by: str,
    reason: str,
    expires_at: datetime,
    person: str = "",
    subject_id: UUID | None = None,
    covers_from: datetime | None = None,
    covers_until: datetime | None = None,
) -> LegalHold:
    """In force at once, if it `holds_meanwhile`; without approval it ends by itself at
    `waits_until`. Raises ValidationError.
    """
    now = timezone.now()
    _refuse_dates(now, expires_at, covers_from, covers_until)
    hold = LegalHold(
        tenant_id=tenant_id,
        subject_id=subject_id,
        covers_from=covers_from,
        covers_until=covers_until,
        reason=_reason(reason),
        requested_by=person or by,
        expires_at=expires_at,
    )
    with transaction.atomic():
        _lock(tenant_id)
        hold.save(force_insert=True)
        _act(Action.HOLD_REQUEST, hold, by, reason=hold.reason)
    return hold


def approve(hold: LegalHold, *, by: str, person: str = "") -> None:
    """Raises HoldRefused: SamePerson, AlreadyApproved, Ended."""
    with transaction.atomic():
        _locked(hold)
        if hold.approved_at:
            raise AlreadyApproved
        if hold.requested_by == (person or by):
            raise SamePerson
        _refuse_ended(hold)
        hold.approved_by, hold.approved_at = person or by, timezone.now()
        hold.save(update_fields=["approved_by", "approved_at"])
        _act(Action.HOLD_APPROVE, hold, by)


def renew(hold: LegalHold, *, by: str, expires_at: datetime, person: str = "") -> None:
    """A release that was asked for has to be asked for again. Raises SamePerson, Ended,
    ValidationError: at most LONGEST from now, and later than it is.
    """
    with transaction.atomic():
        _locked(hold)
        _refuse_ended(hold)
        if (hold.renewed_by or hold.requested_by) == (person or by):
            raise SamePerson
        _refuse_dates(timezone.now(), expires_at)
        if expires_at <= hold.expires_at:
            raise ValidationError({"expires_at": _("The hold already lasts until then.")})
        before, hold.expires_at = hold.expires_at, expires_at
        hold.renewed, hold.renewed_by = hold.renewed + 1, person or by
        _ask(hold, "", "")
        hold.save()
        _act(Action.HOLD_RENEW, hold, by, before=before.isoformat())


def release(hold: LegalHold, *, by: str, reason: str = "", person: str = "") -> bool:
    """The first person asks for it and says why, another one approves: from then on what it kept
    may go. Answers whether it is released. Raises SamePerson, Ended, ValidationError.
    """
    with transaction.atomic():
        _locked(hold)
        _refuse_ended(hold)
        if not hold.release_asked_by:
            _ask(hold, person or by, _reason(reason))
            hold.save()
            _act(Action.HOLD_ASK_RELEASE, hold, by, reason=hold.release_reason)
            return False
        if hold.release_asked_by == (person or by):
            raise SamePerson
        hold.released_by, hold.released_at = person or by, timezone.now()
        hold.save()
        _act(Action.HOLD_RELEASE, hold, by, reason=hold.release_reason)
    return True


def is_in_force(hold: LegalHold) -> bool:
    return not has_ended(hold) and (hold.approved_at is not None or hold.holds_meanwhile)


def has_ended(hold: LegalHold) -> bool:
    """Nobody can approve, renew or release it any more."""
    now = timezone.now()
    waited = hold.approved_at is None and hold.waits_until <= now
    return waited or hold.released_at is not None or hold.expires_at <= now


def _ask(hold: LegalHold, person: str, reason: str) -> None:
    hold.release_asked_by, hold.release_reason = person, reason
    hold.release_asked_at = timezone.now() if person else None


def _refuse_ended(hold: LegalHold) -> None:
    if has_ended(hold):
        raise Ended


def _refuse_dates(
    now: datetime,
    expires_at: datetime,
    covers_from: datetime | None = None,
    covers_until: datetime | None = None,
) -> None:
    if not now < expires_at <= now + LONGEST:
        raise ValidationError({"expires_at": _("Choose a time within the next year.")})
    if covers_from and covers_until and covers_from >= covers_until:
        raise ValidationError({"covers_until": _("This is before the start.")})


def _reason(text: str) -> str:
    text = text.strip()
    if not text or len(text) > LONGEST_REASON:
        raise ValidationError({"reason": _("Say why, in at most 500 characters.")})
    return text


def _locked(hold: LegalHold) -> None:
    hold.refresh_from_db(from_queryset=LegalHold.objects.select_for_update())


def _lock(tenant_id: UUID, *, shared: bool = False) -> None:
    """Until the transaction ends: those who erase share it, who places a hold has it alone."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"select {function}(hashtextextended(%s, 0))", [f"hold:{tenant_id}"])


def _act(action: Action, hold: LegalHold, by: str, **more: Any) -> None:
    detail: dict[str, Any] = {"hold": str(hold.id), "expires_at": hold.expires_at.isoformat()}
    for name in ("covers_from", "covers_until"):
        if moment := getattr(hold, name):
            detail[name] = moment.isoformat()
    act(
        action,
        actor=by,
        tenant_id=hold.tenant_id,
        subject_id=hold.subject_id,
        detail=detail | more,
    )
