"""A member tries an action: one real, signed request whose body has `"test": true`."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from inference.actions.calling import arguments_problem, delivery_of, note_now, result_of
from inference.actions.result import ActionResult
from inference.actions.sending import Delivery, send
from inference.models import ActionCall, CallState, WebhookAction
from infrastructure.postgres.request_threads import in_request_thread
from tenants.models.idempotent_request import KEPT
from tenants.scope import tenant_scope

LONGEST_S = 10  # a page waits for it
_LOOK_EVERY_S = 0.5
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """`subject_id` is the member's: arguments and answer are under their key.

    `confirmed` is the member's yes to a call that moves money. `call_id` is the same where a trial
    is asked for again since its answer was lost: within a day it is sent once.
    """

    action_id: UUID
    tenant_id: UUID
    subject_id: UUID
    actor: str
    language: str
    confirmed: bool = False
    call_id: UUID | None = None


async def call(trial: Trial, arguments: Values) -> ActionResult:
    """Call it once. Its row is committed before the request leaves, outside open transactions."""
    row, delivery = await _apart(trial, _open, trial, arguments)
    if delivery is not None:
        outcome = await send(delivery)
        await _apart(trial, note_now, row, outcome)
    else:
        await _wait(trial, row)
    result: ActionResult = await _apart(trial, result_of, row)
    return result


async def _wait(trial: Trial, row: ActionCall) -> None:
    """Wait for the outcome where the same trial is under way, its deadline at the latest."""
    while row.state == CallState.SENT and row.deadline and timezone.now() < row.deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        await _apart(trial, row.refresh_from_db)


def _open(trial: Trial, arguments: Values) -> tuple[ActionCall, Delivery | None]:
    """Commit the call as sent, or as refused; or return the row of the same trial."""
    try:
        with transaction.atomic():
            return _opened(trial, arguments)
    except IntegrityError:
        if trial.call_id is None:
            raise
        # The same trial was faster.
        return ActionCall.objects.get(pk=trial.call_id, tenant_id=trial.tenant_id), None


def _opened(trial: Trial, arguments: Values) -> tuple[ActionCall, Delivery | None]:
    action = WebhookAction.objects.get(pk=trial.action_id, tenant_id=trial.tenant_id)
    earlier = action.calls.filter(pk=trial.call_id).first() if trial.call_id else None
    if earlier and earlier.created_at > timezone.now() - KEPT:
        return earlier, None
    row = ActionCall(
        pk=uuid4() if earlier or not trial.call_id else trial.call_id,
        tenant_id=trial.tenant_id,
        action=action,
        action_name=action.name,
        revision=action.revision,
        moves_money=action.moves_money,
        subject_id=trial.subject_id,
        created_by=trial.actor,
        confirmed_at=timezone.now() if trial.confirmed else None,
    )
    reason = arguments_problem(action, arguments)
    if action.moves_money and not trial.confirmed:
        reason = reason or "not_confirmed"
    row.encrypt({} if reason == "too_long" else arguments)
    if reason:
        return row.refuse(reason, None, by=trial.actor), None
    action.timeout_s = min(action.timeout_s, LONGEST_S)
    row.send(None, action.timeout_s, by=trial.actor)
    return row, delivery_of(action, row, arguments, trial.language)


async def _apart(trial: Trial, do: Any, *args: Any) -> Any:
    """Run it in a thread with a connection of its own."""

    def scoped() -> Any:
        with tenant_scope(trial.tenant_id):
            return do(*args)

    return await in_request_thread(scoped)()
