"""Legal holds: data that must be kept for a court is neither erased nor pruned.

One person places a hold and another one approves it; one requests its release and another one
approves that; nobody renews it twice in a row. People are compared as `person`, which is the same
in every tenant and role; `by` is the actor in the trail's form. The database decides how long a
hold waits for approval, and whether it is in force meanwhile (sql/5_retention.sql).
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import LegalHold
from audit.trail.record import act_on, checked_reason
from infrastructure.postgres.queries import lock

LONGEST = timedelta(days=365)


class HoldRefused(Exception):
    """The hold cannot be changed this way."""


class SamePerson(HoldRefused):
    """A second person must approve a hold or its release, or renew it."""


class Ended(HoldRefused):
    """The hold has expired, was released, or waited too long for approval."""


class AlreadyApproved(HoldRefused):
    pass


class OnHold(Exception):
    """Data that was to be erased is under a legal hold."""

    def __init__(self, hold: LegalHold) -> None:
        super().__init__(f"legal hold {hold.id}")
        self.hold = hold


# Queries -----------------------------------------------------------------------------------------
def holding(at: datetime | None = None) -> QuerySet[LegalHold]:
    """Returns the holds in force at a moment, of every visible tenant."""
    at = at or timezone.now()
    unreleased = Q(released_at=None) | Q(released_at__gt=at)
    approved = Q(approved_at__lte=at) | Q(holds_meanwhile=True, waits_until__gt=at)
    return LegalHold.objects.filter(
        unreleased, approved, requested_at__lte=at, expires_at__gt=at
    ).order_by("requested_at", "id")


def in_force(
    tenant_id: UUID, subject_id: UUID | None = None, at: datetime | None = None
) -> LegalHold | None:
    """Returns a hold on the subject or the tenant; without a subject, any of the tenant's."""
    holds = holding(at).filter(tenant_id=tenant_id)
    if subject_id:
        holds = holds.filter(Q(subject_id=None) | Q(subject_id=subject_id))
    return holds.first()


def holding_row(tenant: str = "tenant_id", subject: str = "subject_id") -> Exists:
    """Returns the condition that a hold is in force on a row's subject, or on its whole tenant.

    `tenant` and `subject` are the row's fields. It locks nothing: see `refuse_if_held`.
    """
    covers = Q(subject_id=None) | Q(subject_id=OuterRef(subject))
    return Exists(holding().filter(covers, tenant_id=OuterRef(tenant)))


def refuse_if_held(tenant_id: UUID, subject_id: UUID | None = None) -> None:
    """Raises OnHold if a hold is in force.

    Until the open transaction ends, no new hold of the tenant comes into force: one that is placed
    meanwhile waits, and sees the effects of the transaction.
    """
    _lock(tenant_id, shared=True)
    if hold := in_force(tenant_id, subject_id):
        raise OnHold(hold)


def held_subjects(tenant_id: UUID, before: datetime) -> frozenset[UUID]:
    """Returns subjects whose data older than `before` must be kept.

    Raises OnHold if a hold covers the whole tenant. No subject is added until the open transaction
    ends (see `refuse_if_held`).
    """
    _lock(tenant_id, shared=True)
    holds = holding().filter(Q(covers_from=None) | Q(covers_from__lt=before), tenant_id=tenant_id)
    for hold in holds:
        if hold.subject_id is None:
            raise OnHold(hold)
    return frozenset(hold.subject_id for hold in holds if hold.subject_id)


# Changes -----------------------------------------------------------------------------------------
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
    """Places a hold, in force at once if it `holds_meanwhile`. Raises ValidationError.

    Without approval it ends at `waits_until`.
    """
    now = timezone.now()
    _refuse_dates(now, expires_at, covers_from, covers_until)
    hold = LegalHold(
        tenant_id=tenant_id,
        subject_id=subject_id,
        covers_from=covers_from,
        covers_until=covers_until,
        reason=checked_reason(reason),
        requested_by=person or by,
        expires_at=expires_at,
    )
    with transaction.atomic():
        _lock(tenant_id)
        hold.save(force_insert=True)
        _act(Action.HOLD_REQUEST, hold, by, reason=hold.reason)
    return hold


def approve(hold: LegalHold, *, by: str, person: str = "") -> None:
    """Approves a hold. Raises HoldRefused: SamePerson, AlreadyApproved, Ended."""
    with transaction.atomic():
        _lock_row(hold)
        if hold.approved_at:
            raise AlreadyApproved
        if hold.requested_by == (person or by):
            raise SamePerson
        _refuse_ended(hold)
        hold.approved_by, hold.approved_at = person or by, timezone.now()
        hold.save(update_fields=["approved_by", "approved_at"])
        _act(Action.HOLD_APPROVE, hold, by)


def renew(hold: LegalHold, *, by: str, expires_at: datetime, person: str = "") -> None:
    """Extends a hold; a release must be requested again.

    The new end must be later than the present one, and at most LONGEST from now. Raises SamePerson,
    Ended, ValidationError.
    """
    with transaction.atomic():
        _lock_row(hold)
        _refuse_ended(hold)
        if (hold.renewed_by or hold.requested_by) == (person or by):
            raise SamePerson
        _refuse_dates(timezone.now(), expires_at)
        if expires_at <= hold.expires_at:
            raise ValidationError({"expires_at": _("The hold already lasts until then.")})
        before, hold.expires_at = hold.expires_at, expires_at
        hold.renewed, hold.renewed_by = hold.renewed + 1, person or by
        _request_release(hold, "", "")
        hold.save()
        _act(Action.HOLD_RENEW, hold, by, before=before.isoformat())


def release(hold: LegalHold, *, by: str, reason: str = "", person: str = "") -> bool:
    """Requests a hold's release, or approves the request if another person made it.

    Returns True if the hold is released. Raises SamePerson, Ended, ValidationError.
    """
    with transaction.atomic():
        _lock_row(hold)
        _refuse_ended(hold)
        if not hold.release_asked_by:
            _request_release(hold, person or by, checked_reason(reason))
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
    """Returns True if the hold can no longer be approved, renewed or released."""
    now = timezone.now()
    lapsed = hold.approved_at is None and hold.waits_until <= now
    return lapsed or hold.released_at is not None or hold.expires_at <= now


def _request_release(hold: LegalHold, person: str, reason: str) -> None:
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


def _lock_row(hold: LegalHold) -> None:
    hold.refresh_from_db(from_queryset=LegalHold.objects.select_for_update())


def _lock(tenant_id: UUID, *, shared: bool = False) -> None:
    """Locks until the transaction ends: erasures share the lock, a new hold has it alone."""
    lock(f"hold:{tenant_id}", shared=shared)


def _act(action: Action, hold: LegalHold, by: str, **more: Any) -> None:
    detail: dict[str, Any] = {"hold": str(hold.id), "expires_at": hold.expires_at.isoformat()}
    for name in ("covers_from", "covers_until"):
        if moment := getattr(hold, name):
            detail[name] = moment.isoformat()
    act_on(hold, action, by, **detail, **more)
