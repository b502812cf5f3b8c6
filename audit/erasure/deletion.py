"""Requests to erase a person's data: what people do with them. execution.py
executes them.

Policy: who may decide on deletions asks and decides in one; everybody else's request waits for
somebody who may. To who asks for their own data silence is consent: after SILENCE
(FOREBAY_DELETION_SILENCE_H, 24 hours) it is executed as if it had been approved, so that nobody's
absence breaks the 72 hours. Nobody erases anybody else by silence.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import DeletionMode, DeletionRequest, DeletionState, Tombstone
from audit.retention import legal_hold, periods
from audit.retention.data_classes import AUDIT
from audit.trail.record import act

DUE = timedelta(hours=72)
ALERT = timedelta(hours=48)
LONGEST_TEXT = 500
SILENT = "policy:silence"  # who approved, when nobody said anything
State = DeletionState


class DeletionRefused(Exception):
    """A request cannot be decided like this."""


class AlreadyDecided(DeletionRefused):
    """Approved, refused or done."""


class AlreadyBegun(DeletionRefused):
    """What is gone is gone."""


class SamePerson(DeletionRefused):
    """Who asked for somebody else, and could not decide alone, does not approve it later."""


def silence() -> timedelta:
    return timedelta(hours=settings.DELETION_SILENCE_H)


# What people do ----------------------------------------------------------------------------------
def ask(
    tenant_id: UUID,
    subject_id: UUID,
    *,
    by: str,
    decides: bool = False,
    own: bool = False,
    mode: str = DeletionMode.ERASE,
    reason: str = "",
    removes: bool = False,
) -> DeletionRequest:
    """The request of this mode that is open already, else a new one. `decides`: who asks may
    approve as well; `own`: it is their own data. A restriction and an erasure are two requests,
    each with its clock; the erasure that comes first to its end closes both.

    Raises ValidationError, and AlreadyBegun where it is too late to remove the person too.
    """
    now = timezone.now()
    asked = DeletionRequest(
        tenant_id=tenant_id,
        subject_id=subject_id,
        mode=DeletionMode(mode),
        removes=removes,
        reason=_text(reason, "reason"),
        requested_by=by,
        by_subject=own,
        requested_at=now,
        due_at=now + DUE,
    )
    with transaction.atomic():
        found = _open(asked) or _added(asked)
        if found is asked:
            _record_asked(found, by)
            _hold_if_must(found)
        else:
            _add_to(found, asked, by=by, decides=decides)
        if decides and found.approved_at is None:
            _approve(found, by)
    return found


def approve(request: DeletionRequest, *, by: str) -> None:
    """It is executed within seconds, if nothing holds it. Raises AlreadyDecided."""
    with transaction.atomic():
        locked(request)
        if request.approved_at or request.state not in (State.REQUESTED, State.HELD):
            raise AlreadyDecided
        if request.requested_by == by and not request.by_subject:
            raise SamePerson
        _approve(request, by)


def refuse(request: DeletionRequest, *, by: str, answer: str) -> None:
    """`answer`: why, to who asked. Raises AlreadyDecided, AlreadyBegun, ValidationError."""
    answer = _said(answer)
    with transaction.atomic():
        locked(request)
        if request.state in (State.REFUSED, State.DONE):
            raise AlreadyDecided
        if request.started_at:
            raise AlreadyBegun
        _act(Action.DELETION_REFUSE, request, by)
        _close(request, answer)


def lift(request: DeletionRequest, *, by: str, answer: str) -> None:
    """Ends a restriction: nothing was erased, and the data can be used again. Raises
    AlreadyDecided where none is in force, AlreadyBegun when retention has ended, ValidationError.
    """
    answer = _said(answer)
    with transaction.atomic():
        locked(request)
        if not restricts(request):
            raise AlreadyDecided
        if not is_restricted(request):
            raise AlreadyBegun
        _act(Action.DELETION_LIFT, request, by)
        _close(request, answer)


def restricts(request: DeletionRequest) -> bool:
    """A restriction that has begun, and is not over."""
    begun = request.mode == DeletionMode.RESTRICT and request.started_at is not None
    return begun and request.state not in (State.DONE, State.REFUSED)


def is_restricted(request: DeletionRequest) -> bool:
    """Not erased yet, and not to be read by anybody. Once erasing has begun it goes on, also where
    retention becomes longer.
    """
    if request.mode != DeletionMode.RESTRICT or timezone.now() >= restricted_until(request):
        return False
    return not Tombstone.objects.filter(request_id=request.id).exists()


def restricted_until(request: DeletionRequest) -> datetime:
    """When retention ends of the last thing that was recorded."""
    last = request.started_at or request.requested_at
    return last + timedelta(days=periods.days_of(request.tenant_id, AUDIT))


def was_lifted(request: DeletionRequest) -> bool:
    """What has begun cannot be refused otherwise."""
    return request.state == State.REFUSED and request.started_at is not None


# What the clock does -----------------------------------------------------------------------------
def hold(request: DeletionRequest, kept_by: Any) -> None:
    """Nothing more is erased until the hold ends. The requester is told, not for whom it is."""
    request.state, request.held_at = State.HELD, timezone.now()
    until = kept_by.expires_at.strftime("%Y-%m-%d")
    request.answer = _("A legal hold keeps this data, at most until %(day)s.") % {"day": until}
    request.save(update_fields=["state", "held_at", "answer"])
    _act(Action.DELETION_HELD, request, "system", hold=kept_by.id)


def resume(request: DeletionRequest) -> None:
    """The hold has ended: goes on where it was, and so does the clock."""
    if request.held_at:
        request.due_at += timezone.now() - request.held_at
    before = State.RUNNING if request.started_at else State.APPROVED
    request.state = before if request.approved_at else State.REQUESTED
    request.answer, request.held_at = "", None
    request.save(update_fields=["state", "answer", "due_at", "held_at"])


def mark_late(request: DeletionRequest) -> None:
    request.alerted_at = timezone.now()
    request.save(update_fields=["alerted_at"])
    _act(Action.DELETION_LATE, request, "system", due_at=request.due_at, state=request.state)


def locked(request: DeletionRequest) -> None:
    """As it is now, and nobody else's until the transaction ends."""
    request.refresh_from_db(from_queryset=DeletionRequest.objects.select_for_update())


def _open(asked: DeletionRequest) -> DeletionRequest | None:
    rows = DeletionRequest.objects.open().select_for_update().filter(mode=asked.mode)
    return rows.filter(tenant_id=asked.tenant_id, subject_id=asked.subject_id).first()


def _added(asked: DeletionRequest) -> DeletionRequest:
    try:
        with transaction.atomic():
            asked.save(force_insert=True)
    except IntegrityError:  # somebody was first by a moment
        found = _open(asked)
        if found is None:
            raise
        return found
    return asked


def _hold_if_must(request: DeletionRequest) -> None:
    if kept_by := legal_hold.in_force(request.tenant_id, request.subject_id):
        hold(request, kept_by)


def _add_to(found: DeletionRequest, asked: DeletionRequest, *, by: str, decides: bool) -> None:
    """What is asked for beyond the request that is open already."""
    waits = found.approved_at is None
    takes_over = asked.by_subject and waits and not found.by_subject
    trusted = decides or asked.by_subject or (waits and not found.by_subject)
    removes = asked.removes and not found.removes and trusted
    if removes and found.started_at and not is_restricted(found):
        raise AlreadyBegun
    if takes_over:
        _take_over(found, asked)
    found.removes = found.removes or removes
    if takes_over or removes:
        found.save()
        _record_asked(found, by)


def _take_over(found: DeletionRequest, asked: DeletionRequest) -> None:
    """Somebody had asked for them; now it is their own request, with the clock of one."""
    for name in ("reason", "requested_by", "by_subject", "requested_at", "due_at"):
        setattr(found, name, getattr(asked, name))
    found.alerted_at = None
    found.held_at = asked.requested_at if found.state == State.HELD else None


def _approve(request: DeletionRequest, by: str) -> None:
    if request.state == State.REQUESTED:
        request.state = State.APPROVED
    request.approved_by, request.approved_at = by, timezone.now()
    request.save(update_fields=["state", "approved_by", "approved_at"])
    _act(Action.DELETION_APPROVE, request, by)


def _close(request: DeletionRequest, answer: str) -> None:
    request.state, request.answer = State.REFUSED, answer
    request.finished_at, request.held_at = timezone.now(), None
    request.save(update_fields=["state", "answer", "finished_at", "held_at"])


def _record_asked(request: DeletionRequest, by: str) -> None:
    more = {"removes": True} if request.removes else {}
    _act(Action.DELETION_REQUEST, request, by, mode=request.mode, due_at=request.due_at, **more)


def _said(answer: str) -> str:
    if not answer.strip():
        raise ValidationError({"answer": _("Give a reason. The person who asked will read it.")})
    return _text(answer, "answer")


def _act(action: Action, request: DeletionRequest, by: str, **detail: Any) -> None:
    said = {name: str(value) for name, value in detail.items()}
    act(
        action,
        actor=by,
        tenant_id=request.tenant_id,
        subject_id=request.subject_id,
        detail={"request": str(request.id), **said},
    )


def _text(text: str, name: str) -> str:
    text = text.strip()
    if len(text) > LONGEST_TEXT:
        raise ValidationError({name: _("At most 500 characters.")})
    return text
