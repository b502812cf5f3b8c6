"""Has the model word an answer: one request for each turn, also after a kill.

The request has the turn's claim. A process that goes on with the turn finds it on record, waits
for its end, and gets the same text.
"""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from msgspec import structs

from inference.codec.events import NOTHING, said_in_all, said_of, split
from inference.intake.context import Context
from inference.intake.errors import KeyTaken
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.models import Completion, IdempotencyKey, State
from inference.reasoning import OPENS, Said, parted
from inference.record.recorded_requests import recorded_answer, recorded_order
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from tenants.caller import Caller
from tenants.scope import tenant_scope

ROUTE = "dialogue"
_COUNTED = 1  # its address was charged when the message came
MOST_TOKENS = 700  # of an answer
_LOOK_S = 0.2
NOBODYS = UUID(int=0)
_KEY = sha256(b"wording").digest()


class NotWorded(Exception):
    """The model gave no answer, or broke it off."""


class Wording:
    """The text of an answer as it grows. `completion_id` is set once it is on record."""

    def __init__(self, context: Context, caller: Caller, turn_id: UUID) -> None:
        self._context, self._caller, self._turn_id = context, caller, turn_id
        self.completion_id: UUID | None = None

    async def texts(self, model: str, messages: list[dict[str, str]]) -> AsyncIterator[str]:
        """Yields the text so far, each time longer. Raises NotWorded, and what `submit` raises."""
        try:
            answer = await submit(self._context, self._submission(model, messages))
        except KeyTaken:
            yield await self._recorded()
            return
        self.completion_id, draft = answer.order.id, Said("")
        async for frame in answer.frames():
            if frame is None:
                continue
            draft = _more(draft, frame)
            if text := _shown(draft, over=frame.final):
                yield text

    def _submission(self, model: str, messages: list[dict[str, str]]) -> Submission:
        body = {"model": model, "messages": messages, "max_tokens": MOST_TOKENS, "stream": True}
        arrival = Arrival(ROUTE, address_counted_at=_COUNTED)
        length = len(orjson.dumps(body))
        options = Options(streamed=True, affinity=str(self._turn_id))
        submission = read(self._caller, body, length, Form.CHAT, arrival, options)
        claim = Claim(_KEY, b"", owner=self._turn_id)
        return structs.replace(submission, claim=claim, outlives_reader=True)

    async def _recorded(self) -> str:
        """Returns the text of the request that another process submitted. Raises NotWorded."""
        while True:
            self.completion_id, draft, is_over = await database_sync_to_async(self._look)()
            if text := _shown(draft, over=True):
                return text
            if is_over:
                raise NotWorded
            await asyncio.sleep(_LOOK_S)

    def _look(self) -> tuple[UUID | None, Said, bool]:
        with tenant_scope(self._caller.tenant_id):
            key = IdempotencyKey.objects.filter(owner=self._turn_id, key=_KEY).first()
            completions = Completion.objects.filter(pk=key.completion_id if key else NOBODYS)
            if (completion := completions.first()) is None:
                return None, NOTHING, True
            if completion.state == State.OPEN:
                return completion.pk, NOTHING, False
            return completion.pk, _said_in(completion), True


def _said_in(completion: Completion) -> Said:
    """Returns what is on record of an answer; nothing of one that failed."""
    record = recorded_order(completion.pk) if completion.state == State.DONE else None
    answer = recorded_answer(record[1]) if record else None
    return said_of(answer) if answer else NOTHING


def _more(draft: Said, frame: Frame) -> Said:
    """Returns the text with that of a frame. Raises NotWorded."""
    if frame.kind == Kind.ERROR:
        raise NotWorded
    words = said_in_all(split(frame.body))
    return Said(draft.text + words.text, draft.reasoning + words.reasoning)


def _shown(draft: Said, *, over: bool) -> str:
    """Returns the text without the model's reasoning."""
    if draft.text.lstrip().startswith(OPENS) or over:
        text = parted(draft).text
        return "" if text.lstrip().startswith(OPENS) else text
    return draft.text
