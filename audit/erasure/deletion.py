"""Requests to erase a person's data, and the decisions about them. execution.py executes them.

Policy: a request by someone who may approve deletions is approved at once; any other waits for
someone who may. Silence approves a person's request for their own data: after SILENCE
(FOREBAY_DELETION_SILENCE_H, 24 hours) it is executed, so that nobody's absence breaks the 72 hours.
Silence never approves a request about somebody else.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import DeletionMode, DeletionRequest, DeletionState, Tombstone
from audit.retention import legal_hold, periods
from audit.retention.data_classes import AUDIT
from audit.trail.record import act_on
from infrastructure.postgres import queries

DUE = timedelta(hours=72)
ALERT = timedelta(hours=48)
LONGEST_TEXT = 500
SILENT = "policy:silence"  # the approver of a request that nobody decided
State = DeletionState


class DeletionRefused(Exception):
    """The request cannot be decided this way."""


class AlreadyDecided(DeletionRefused):
    """The request is approved, refused or done."""


class AlreadyBegun(DeletionRefused):
    """Erasing has begun and cannot be undone."""


class SamePerson(DeletionRefused):
    """The requester may not approve their own request about somebody else."""


def silence() -> timedelta:
    return timedelta(hours=settings.DELETION_SILENCE_H)


# Decisions ---------------------------------------------------------------------------------------
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
    """Returns the open request of this mode, or a new one.

    `decides`: the requester may approve as well; `own`: it is their own data. A restriction and an
    erasure are two requests, each with its own clock; the erasure that finishes first closes both.

    Raises ValidationError, and AlreadyBegun if it is too late to remove the person too.
    """
    now = timezone.now()
    new = DeletionRequest(
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
        queries.lock(f"deletion:{tenant_id}:{subject_id}")  # of two, the second finds the first
        request = _open_like(new) or new
        if request is new:
            request.save(force_insert=True)
            _record_request(request, by)
            if active_hold := legal_hold.in_force(tenant_id, subject_id):
                hold(request, active_hold)
        else:
            _extend(request, new, by=by, decides=decides)
        if decides and request.approved_at is None:
            _approve(request, by)
    return request


def approve(request: DeletionRequest, *, by: str) -> None:
    """Approves a request, to be executed within seconds unless held. Raises AlreadyDecided."""
    with transaction.atomic():
        lock(request)
        if request.approved_at or request.state not in (State.REQUESTED, State.HELD):
            raise AlreadyDecided
        if request.requested_by == by and not request.by_subject:
            raise SamePerson
        _approve(request, by)


def refuse(request: DeletionRequest, *, by: str, answer: str) -> None:
    """Refuses a request; the requester reads `answer`.

    Raises AlreadyDecided, AlreadyBegun, ValidationError.
    """
    answer = _required_answer(answer)
    with transaction.atomic():
        lock(request)
        if request.state in (State.REFUSED, State.DONE):
            raise AlreadyDecided
        if request.started_at:
            raise AlreadyBegun
        record(Action.DELETION_REFUSE, request, by)
        _close(request, answer)


def lift(request: DeletionRequest, *, by: str, answer: str) -> None:
    """Ends a restriction: nothing was erased, and the data can be used again.

    Raises AlreadyDecided if none is in force, AlreadyBegun if retention has ended, ValidationError.
    """
    answer = _required_answer(answer)
    with transaction.atomic():
        lock(request)
        if not restricts(request):
            raise AlreadyDecided
        if not is_restricted(request):
            raise AlreadyBegun
        record(Action.DELETION_LIFT, request, by)
        _close(request, answer)


def restricts(request: DeletionRequest) -> bool:
    """Returns True for a restriction that has begun and is not over."""
    has_begun = request.mode == DeletionMode.RESTRICT and request.started_at is not None
    return has_begun and request.state not in (State.DONE, State.REFUSED)


def is_restricted(request: DeletionRequest) -> bool:
    """Returns True if the data exists but nobody may read it.

    Erasing that has begun continues, even if retention is lengthened.
    """
    if request.mode != DeletionMode.RESTRICT or timezone.now() >= restricted_until(request):
        return False
    return not Tombstone.objects.filter(request_id=request.id).exists()


def restricted_until(request: DeletionRequest) -> datetime:
    """Returns the end of retention of the newest recorded event."""
    last = request.started_at or request.requested_at
    return last + timedelta(days=periods.days_of(request.tenant_id, AUDIT))


def was_lifted(request: DeletionRequest) -> bool:
    """Returns True if a restriction was ended. Nothing else that has begun can be refused."""
    return request.state == State.REFUSED and request.started_at is not None


# The clock ---------------------------------------------------------------------------------------
def hold(request: DeletionRequest, active_hold: Any) -> None:
    """Stops erasing until the hold ends. The requester learns of the hold, but not its reason."""
    request.state, request.held_at = State.HELD, timezone.now()
    until = active_hold.expires_at.strftime("%Y-%m-%d")
    request.answer = _("A legal hold keeps this data, at most until %(day)s.") % {"day": until}
    request.save(update_fields=["state", "held_at", "answer"])
    record(Action.DELETION_HELD, request, "system", hold=str(active_hold.id))


def resume(request: DeletionRequest) -> None:
    """Continues after a hold, and moves the deadline by its length."""
    if request.held_at:
        request.due_at += timezone.now() - request.held_at
    before = State.RUNNING if request.started_at else State.APPROVED
    request.state = before if request.approved_at else State.REQUESTED
    request.answer, request.held_at = "", None
    request.save(update_fields=["state", "answer", "due_at", "held_at"])


def mark_late(request: DeletionRequest) -> None:
    request.alerted_at = timezone.now()
    request.save(update_fields=["alerted_at"])
    due_at, state = str(request.due_at), str(request.state)
    record(Action.DELETION_LATE, request, "system", due_at=due_at, state=state)


def lock(request: DeletionRequest) -> None:
    """Locks the request's row until the transaction ends, and reloads it."""
    request.refresh_from_db(from_queryset=DeletionRequest.objects.select_for_update())


def _open_like(new: DeletionRequest) -> DeletionRequest | None:
    rows = DeletionRequest.objects.open().select_for_update().filter(mode=new.mode)
    return rows.filter(tenant_id=new.tenant_id, subject_id=new.subject_id).first()


def _extend(request: DeletionRequest, new: DeletionRequest, *, by: str, decides: bool) -> None:
    """Adds a further request to the open one."""
    waits = request.approved_at is None
    takes_over = new.by_subject and waits and not request.by_subject
    trusted = decides or new.by_subject or (waits and not request.by_subject)
    removes = new.removes and not request.removes and trusted
    if removes and request.started_at and not is_restricted(request):
        raise AlreadyBegun
    if takes_over:
        _take_over(request, new)
    request.removes = request.removes or removes
    if takes_over or removes:
        request.save()
        _record_request(request, by)


def _take_over(request: DeletionRequest, new: DeletionRequest) -> None:
    """Turns somebody else's request about a person into that person's own, with its own clock."""
    for name in ("reason", "requested_by", "by_subject", "requested_at", "due_at"):
        setattr(request, name, getattr(new, name))
    request.alerted_at = None
    request.held_at = new.requested_at if request.state == State.HELD else None


def _approve(request: DeletionRequest, by: str) -> None:
    if request.state == State.REQUESTED:
        request.state = State.APPROVED
    request.approved_by, request.approved_at = by, timezone.now()
    request.save(update_fields=["state", "approved_by", "approved_at"])
    record(Action.DELETION_APPROVE, request, by)


def _close(request: DeletionRequest, answer: str) -> None:
    request.state, request.answer = State.REFUSED, answer
    request.finished_at, request.held_at = timezone.now(), None
    request.save(update_fields=["state", "answer", "finished_at", "held_at"])


def _record_request(request: DeletionRequest, by: str) -> None:
    more = {"removes": "True"} if request.removes else {}
    mode, due_at = str(request.mode), str(request.due_at)
    record(Action.DELETION_REQUEST, request, by, mode=mode, due_at=due_at, **more)


def _required_answer(answer: str) -> str:
    if not answer.strip():
        raise ValidationError({"answer": _("Give a reason. The person who asked will read it.")})
    return _text(answer, "answer")


def record(action: Action, request: DeletionRequest, by: str, **detail: Any) -> None:
    act_on(request, action, by, request=str(request.id), **detail)


def _text(text: str, name: str) -> str:
    text = text.strip()
    if len(text) > LONGEST_TEXT:
        raise ValidationError({name: _("At most 500 characters.")})
    return text
