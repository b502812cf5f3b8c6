"""Requests to erase a person's data: what people do with them. Who executes: audit/execution.py.

Policy: who may decide on deletions asks and decides in one; everybody else's request waits for
somebody who may. Silence is consent: after SILENCE (FOREBAY_DELETION_SILENCE_H, 24 hours) a
request is executed as if it had been approved, so that nobody's absence breaks the 72 hours.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit import holds
from audit.actions import Action
from audit.models import DeletionMode, DeletionRequest, DeletionState
from audit.record import act

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


def silence() -> timedelta:
    return timedelta(hours=settings.DELETION_SILENCE_H)


# What people do ----------------------------------------------------------------------------------
def ask(
    tenant_id: UUID,
    subject_id: UUID,
    *,
    by: str,
    decides: bool = False,
    mode: str = DeletionMode.ERASE,
    reason: str = "",
    removes: bool = False,
) -> DeletionRequest:
    """The request that is open already, else a new one. `decides`: who asks may approve as well.

    Raises ValidationError.
    """
    now = timezone.now()
    asked = DeletionRequest(
        tenant_id=tenant_id,
        subject_id=subject_id,
        mode=DeletionMode(mode),
        removes=removes,
        reason=_text(reason, "reason"),
        requested_by=by,
        requested_at=now,
        due_at=now + DUE,
    )
    with transaction.atomic():
        found = _open(tenant_id, subject_id) or _added(asked)
        if found is asked:
            _act(Action.DELETION_REQUEST, found, by, mode=found.mode, due_at=found.due_at)
            _hold_if_must(found)
        if decides:
            _approve_asked(found, asked, by)
    return found


def approve(request: DeletionRequest, *, by: str) -> None:
    """It is executed within seconds, if nothing holds it. Raises AlreadyDecided."""
    with transaction.atomic():
        locked(request)
        if request.approved_at or request.state not in (State.REQUESTED, State.HELD):
            raise AlreadyDecided
        _approve(request, by)


def refuse(request: DeletionRequest, *, by: str, answer: str) -> None:
    """`answer`: why, to who asked. Raises AlreadyDecided, AlreadyBegun, ValidationError."""
    if not answer.strip():
        raise ValidationError({"answer": _("Say why: who asked will read it.")})
    with transaction.atomic():
        locked(request)
        if request.started_at:
            raise AlreadyBegun
        if request.state in (State.REFUSED, State.DONE):
            raise AlreadyDecided
        request.state, request.answer = State.REFUSED, _text(answer, "answer")
        request.finished_at = timezone.now()
        request.save(update_fields=["state", "answer", "finished_at"])
        _act(Action.DELETION_REFUSE, request, by)


# What the clock does -----------------------------------------------------------------------------
def hold(request: DeletionRequest, kept_by: Any) -> None:
    """Nothing more is erased until the hold ends. The requester is told, not for whom it is."""
    request.state = State.HELD
    until = kept_by.expires_at.strftime("%Y-%m-%d")
    request.answer = _("A legal hold keeps this data, at most until %(day)s.") % {"day": until}
    request.save(update_fields=["state", "answer"])
    _act(Action.DELETION_HELD, request, "system", hold=kept_by.id)


def resume(request: DeletionRequest) -> None:
    """The hold has ended: goes on where it was."""
    before = State.RUNNING if request.started_at else State.APPROVED
    request.state = before if request.approved_at else State.REQUESTED
    request.answer = ""
    request.save(update_fields=["state", "answer"])


def mark_late(request: DeletionRequest) -> None:
    request.alerted_at = timezone.now()
    request.save(update_fields=["alerted_at"])
    _act(Action.DELETION_LATE, request, "system", due_at=request.due_at, state=request.state)


def locked(request: DeletionRequest) -> None:
    """As it is now, and nobody else's until the transaction ends."""
    request.refresh_from_db(from_queryset=DeletionRequest.objects.select_for_update())


def _open(tenant_id: UUID, subject_id: UUID) -> DeletionRequest | None:
    found = DeletionRequest.objects.open().select_for_update()
    return found.filter(tenant_id=tenant_id, subject_id=subject_id).first()


def _added(asked: DeletionRequest) -> DeletionRequest:
    try:
        with transaction.atomic():
            asked.save(force_insert=True)
    except IntegrityError:  # somebody was first by a moment
        found = _open(asked.tenant_id, asked.subject_id)
        if found is None:
            raise
        return found
    return asked


def _hold_if_must(request: DeletionRequest) -> None:
    if kept_by := holds.in_force(request.tenant_id, request.subject_id):
        hold(request, kept_by)


def _approve_asked(found: DeletionRequest, asked: DeletionRequest, by: str) -> None:
    """Also a restriction that is to become an erasure."""
    if found.mode == DeletionMode.RESTRICT and asked.mode == DeletionMode.ERASE:
        found.mode = DeletionMode.ERASE
        found.save(update_fields=["mode"])
        _act(Action.DELETION_REQUEST, found, by, mode=found.mode, due_at=found.due_at)
    if found.approved_at is None:
        _approve(found, by)


def _approve(request: DeletionRequest, by: str) -> None:
    if request.state == State.REQUESTED:
        request.state = State.APPROVED
    request.approved_by, request.approved_at = by, timezone.now()
    request.save(update_fields=["state", "approved_by", "approved_at"])
    _act(Action.DELETION_APPROVE, request, by)


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
