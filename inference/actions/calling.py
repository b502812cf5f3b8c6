"""Calls an action for a dialogue: asked once, never twice.

    propose   the person is asked whether these arguments are right
    confirm   the person said yes, in a later turn
    call      sends the request, for an action that moves money only after a recent yes

The row of a call is committed as `sent` before its request leaves. A repeated `call` of the same
turn returns the first one's outcome and sends nothing, also after a kill in between.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar
from uuid import UUID

import orjson
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from inference.actions import definitions, schemas
from inference.actions.result import ActionResult
from inference.actions.sending import Delivery, Outcome, send
from inference.models import ActionCall, CallState, WebhookAction
from inference.models.assistants.action_call import OUTCOMES, packed
from infrastructure.postgres.request_threads import in_request_thread
from infrastructure.webhooks import signing
from tenants.scope import tenant_scope

log = logging.getLogger(__name__)
Values = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")
LARGEST_ARGUMENTS = 16 * 1024  # bytes of JSON
_NOTED_WITHIN, _LOOK_EVERY_S = 5, 0.5
_under_way: set[asyncio.Task[ActionResult]] = set()  # a loop has weak references only


class InDialogue(Protocol):
    """The facts of a dialogue that a call needs."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def subject_id(self) -> UUID: ...  # under whose key texts are
    @property
    def language(self) -> str: ...
    @property
    def actor(self) -> str: ...  # as the trail writes it


@dataclass(frozen=True, slots=True)
class _Opening:
    call: ActionCall
    delivery: Delivery | None  # None: not to be sent, or sent before


async def propose(
    dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values
) -> ActionResult | None:
    """Store the question whether to call. Returns a refusal if it could not be sent anyway."""
    return await _in_tenant(dialogue, propose_now)(dialogue, turn_id, action, arguments)


async def confirm(
    dialogue: InDialogue,
    turn_id: UUID,
    action: str,
    arguments: Values,
    at: datetime | None = None,
) -> bool:
    """Note the person's yes of this turn, `at` its beginning: it may go on much later.

    Returns False if nothing like it was asked before.
    """
    return await _in_tenant(dialogue, confirm_now)(dialogue, turn_id, action, arguments, at)


async def withdraw(dialogue: InDialogue) -> None:
    """Forget open questions: the person said no, or something else."""
    await _in_tenant(dialogue, ActionCall.withdraw_open)(dialogue.tenant_id, dialogue.id)


async def perhaps_done(dialogue: InDialogue) -> list[tuple[str, Values]]:
    """Returns the dialogue's confirmed calls that were done, or may have been.

    Raises Unreadable, MasterKeyUnavailable.
    """
    return await _in_tenant(dialogue, _perhaps_done)(dialogue)


async def call(dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values) -> ActionResult:
    """Call the action once for this turn. Cancelling the caller does not stop the request.

    Raises Unreadable, MasterKeyUnavailable and DatabaseError before anything is sent.
    """
    task = asyncio.create_task(_call(dialogue, turn_id, action, arguments))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)


def propose_now(
    dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values
) -> ActionResult | None:
    row, reason = _checked(dialogue, action, arguments)
    if row is None or reason:
        return ActionResult(CallState.NOT_SENT, action, reason=reason)
    calls = ActionCall.objects.of_dialogue(dialogue.id).filter(tenant_id=dialogue.tenant_id)
    if not calls.filter(asked_in=turn_id).exists():  # a resumed turn asks again
        _new(dialogue, row, asked_in=turn_id).propose(arguments)
    return None


def confirm_now(
    dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values, at: datetime | None = None
) -> bool:
    calls = ActionCall.objects.of_dialogue(dialogue.id).filter(tenant_id=dialogue.tenant_id)
    if calls.filter(confirmed_in=turn_id, action_name=action).exists():
        return True  # a resumed turn; it may have been sent since
    question = _open_question(dialogue, action, arguments)
    return bool(question and question.confirm(turn_id, at, by=dialogue.actor))


def _perhaps_done(dialogue: InDialogue) -> list[tuple[str, Values]]:
    calls = ActionCall.objects.of_dialogue(dialogue.id).filter(tenant_id=dialogue.tenant_id)
    return [(call.action_name, call.arguments) for call in calls.perhaps_done()]


# A call ------------------------------------------------------------------------------------------
async def _call(
    dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values
) -> ActionResult:
    opening = await _in_tenant(dialogue, _open)(dialogue, turn_id, action, arguments)
    if opening.delivery is None:
        return await _earlier(dialogue, opening.call)
    outcome = await send(opening.delivery)
    await note(dialogue, opening.call, outcome)
    return await _in_tenant(dialogue, result_of)(opening.call)


def _open(dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values) -> _Opening:
    """Commit the call as sent, or as refused; or return the row of an earlier one."""
    if earlier := _of_turn(dialogue, turn_id, action):
        return _Opening(earlier, None)
    try:
        with transaction.atomic():
            return _opened(dialogue, turn_id, action, arguments)
    except IntegrityError:  # another process was first
        earlier = _of_turn(dialogue, turn_id, action)
        assert earlier
        return _Opening(earlier, None)


def _opened(dialogue: InDialogue, turn_id: UUID, action: str, arguments: Values) -> _Opening:
    row, reason = _checked(dialogue, action, arguments)
    question = _confirmed_question(dialogue, action, arguments) if row and not reason else None
    if row and row.moves_money and question is None:
        reason = reason or "not_confirmed"
    if row is None or reason:
        refused = _new(dialogue, row, action_name=action[:80])
        refused.encrypt(arguments if reason != "too_long" else {})
        return _Opening(refused.refuse(reason, turn_id, by=dialogue.actor), None)
    sent = question or _new(dialogue, row)
    sent.revision, sent.moves_money = row.revision, row.moves_money
    if question is None:
        sent.encrypt(arguments)
    sent.send(turn_id, row.timeout_s, by=dialogue.actor)
    return _Opening(sent, delivery_of(row, sent, arguments, dialogue.language))


def delivery_of(
    action: WebhookAction, sent: ActionCall, arguments: Values, language: str
) -> Delivery:
    """Returns the signed request of a call. Raises Unreadable, MasterKeyUnavailable."""
    assert sent.sent_at
    dialogue = str(sent.dialogue_id) if sent.dialogue_id else None
    confirmed_at = sent.confirmed_at.isoformat() if sent.confirmed_at else None
    body = orjson.dumps(
        {
            "id": str(sent.id),
            "action": action.name,
            "revision": sent.revision,
            "test": dialogue is None,
            "dialogue": dialogue,
            "language": language,
            "confirmed_at": confirmed_at,
            "arguments": arguments,
        }
    )
    keys, at = action.signing_secrets(sent.sent_at), int(sent.sent_at.timestamp())
    headers = signing.headers(keys, str(sent.id), at, body)
    return Delivery(action.url, body, headers, action.timeout_s, action.answer)


async def note(dialogue: InDialogue, row: ActionCall, outcome: Outcome) -> None:
    """Note the outcome. Without the database it becomes `unknown` after its deadline."""
    for attempt in range(_NOTED_WITHIN):
        try:
            return await _in_tenant(dialogue, note_now)(row, outcome)
        except DatabaseError as problem:
            log.warning("cannot note the outcome of call %s: %r", row.id, problem)
            await asyncio.sleep(attempt)
    return None


def note_now(row: ActionCall, outcome: Outcome) -> None:
    row.end(outcome.state, reason=outcome.reason, status=outcome.status, answer=outcome.answer)


async def _earlier(dialogue: InDialogue, row: ActionCall) -> ActionResult:
    """Returns the outcome of a row that was sent before, after its deadline at the latest."""
    look = _in_tenant(dialogue, row.refresh_from_db)
    while row.state == CallState.SENT and row.deadline and timezone.now() < row.deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        await look()
    if row.state == CallState.SENT:
        await note(dialogue, row, Outcome(CallState.UNKNOWN, "no_outcome"))
    return await _in_tenant(dialogue, result_of)(row)


def result_of(row: ActionCall) -> ActionResult:
    state = CallState(row.state)
    answer, texts = row.answer, dict[str, str]()
    if row.action and state in (CallState.SUCCEEDED, CallState.FAILED):
        succeeded = state == CallState.SUCCEEDED
        patterns = row.action.on_success if succeeded else row.action.on_failure
        values = {**row.arguments, **answer}
        texts = {lang: definitions.filled(text, values) for lang, text in patterns.items()}
    # Without a note of its outcome, for want of the database, nobody knows it.
    known = state if state in OUTCOMES else CallState.UNKNOWN
    return ActionResult(known, row.action_name, row.id, answer, row.reason, texts)


# Rows --------------------------------------------------------------------------------------------
def _checked(
    dialogue: InDialogue, action: str, arguments: Values
) -> tuple[WebhookAction | None, str]:
    """Returns the action, and why it cannot be called with these arguments."""
    rows = WebhookAction.objects.filter(tenant_id=dialogue.tenant_id, name=action)
    row = rows.select_related("tenant").first()
    if row is None or not row.enabled:
        return row, "no_action"
    return row, arguments_problem(row, arguments)


def arguments_problem(action: WebhookAction, arguments: Values) -> str:
    """Returns why the action cannot be sent these arguments, "" if it can."""
    try:
        size = len(packed(arguments))
    except (TypeError, ValueError):
        return "too_long"  # it cannot be written, nor stored
    if size > LARGEST_ARGUMENTS:
        return "too_long"
    return "arguments" if schemas.problem(action.arguments, arguments) else ""


def _of_turn(dialogue: InDialogue, turn_id: UUID, action: str) -> ActionCall | None:
    rows = ActionCall.objects.of_dialogue(dialogue.id).filter(tenant_id=dialogue.tenant_id)
    return rows.filter(turn_id=turn_id, action_name=action).select_related("action").first()


def _open_question(dialogue: InDialogue, action: str, arguments: Values) -> ActionCall | None:
    """Returns the dialogue's open question, if it is about this action and these arguments."""
    rows = ActionCall.objects.of_dialogue(dialogue.id).filter(tenant_id=dialogue.tenant_id)
    question = rows.open_proposals().filter(action_name=action).newest_first().first()
    if question and packed(question.arguments) == packed(arguments):
        return question
    return None


def _confirmed_question(dialogue: InDialogue, action: str, arguments: Values) -> ActionCall | None:
    question = _open_question(dialogue, action, arguments)
    if question is None:
        return None
    locked = ActionCall.objects.select_for_update(no_key=True).get(pk=question.pk)
    recent = locked.state == CallState.CONFIRMED and locked.yes_is_recent
    return locked if recent else None


def _new(dialogue: InDialogue, action: WebhookAction | None, **fields: Any) -> ActionCall:
    return ActionCall(
        tenant_id=dialogue.tenant_id,
        action=action,
        action_name=fields.pop("action_name", "") if action is None else action.name,
        revision=action.revision if action else 0,
        moves_money=bool(action and action.moves_money),
        dialogue_id=dialogue.id,
        subject_id=dialogue.subject_id,
        created_by=dialogue.actor,
        **{name: value for name, value in fields.items() if name != "action_name"},
    )


def _in_tenant(dialogue: InDialogue, do: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run it in a thread, in a transaction that sees the dialogue's tenant."""

    def scoped(*args: P.args, **kwargs: P.kwargs) -> T:
        with tenant_scope(dialogue.tenant_id):
            return do(*args, **kwargs)

    return in_request_thread(scoped)
