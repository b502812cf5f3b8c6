"""Starts turns in this process, and waits for what comes of them."""

import asyncio
from uuid import UUID

from inference.api.dialogues import objects
from inference.api.dialogues.objects import Json
from inference.dialogues.changes import watching
from inference.dialogues.receiving import Received
from inference.dialogues.running import run
from inference.dialogues.scoped import read_in_tenant
from inference.errors import ApiError, Conflict, Forbidden, LimitReached, OutOfQuota, Unavailable
from inference.intake.context import Context
from inference.models import Dialogue, DialogueTurn, TurnStep

PATIENCE_S = 55.0  # longer than a turn's deadline: after it another process goes on
LOOK_S = 1.0
_ERRORS: dict[str, tuple[type[ApiError], str]] = {
    "insufficient_quota": (OutOfQuota, "a quota of this tenant or key is used up"),
    "rate_limit_exceeded": (LimitReached, "a limit of this tenant or key is reached; try again"),
    "person_restricted": (Conflict, "the data of this person is erased or restricted"),
    "access_revoked": (Forbidden, "the API key of this dialogue is gone"),
    "tenant_closed": (Forbidden, "this tenant is closed"),
    "insufficient_scope": (Forbidden, "the API key of this dialogue lacks the scope `inference`"),
}
_AGAIN = "the assistant could not answer; send the message again with the same id"


def start(context: Context, received: Received) -> None:
    """Run the turn beside the request: it goes on when its client leaves."""
    if received.turn and received.lease:
        turn = received.turn
        context.background.run(run(context, turn.tenant_id, turn.pk, received.lease))


async def outcome(dialogue: Dialogue, received: Received) -> Json:
    """Returns question and answer once the turn is over. Raises ApiError."""
    if received.turn is None:
        return await read_in_tenant(dialogue.tenant_id, _shown, dialogue.pk, received, None)
    try:
        async with asyncio.timeout(PATIENCE_S), watching(dialogue.pk) as wait:
            while not (turn := await read_in_tenant(dialogue.tenant_id, _over, received.turn.pk)):
                await wait(LOOK_S)
    except TimeoutError:
        raise Unavailable(f"the answer takes longer; {_AGAIN}", retry_after=5) from None
    if turn.step == TurnStep.FAILED:
        raise error_of(turn.error_code)
    return await read_in_tenant(dialogue.tenant_id, _shown, dialogue.pk, received, turn)


def error_of(code: str) -> ApiError:
    kind, text = _ERRORS.get(code, (Unavailable, _AGAIN))
    return kind(text, code=code, retry_after=0 if kind in (Conflict, Forbidden) else 2)


def _over(turn_id: UUID) -> DialogueTurn | None:
    """Returns the turn once it is over. Raises ApiError where the dialogue was erased."""
    turn = DialogueTurn.objects.filter(pk=turn_id).select_related("answer__dialogue").first()
    if turn is None:
        raise error_of("person_restricted")
    return turn if turn.is_over else None


def _shown(dialogue_id: UUID, received: Received, turn: DialogueTurn | None) -> Json:
    dialogue = Dialogue.objects.get(pk=dialogue_id)
    answer = turn.answer if turn else None
    return {
        "object": "dialogue.turn",
        "dialogue": objects.dialogue_of(dialogue),
        "message": objects.message_of(received.message),
        "answer": objects.message_of(answer) if answer else None,
    }
