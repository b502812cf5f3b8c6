"""Events of a dialogue. A reader can go on after any of them.

An event's id says how far its reader has come: `4` has message 4 whole, `4.2` has two sentences of
it. They follow from the rows, so that every process gives the same ones, as often as it is asked.
"""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from audit.keys.keyring import Unreadable
from inference.api.dialogues.objects import Json, message_of
from inference.dialogues.changes import watching
from inference.dialogues.scoped import read_in_tenant
from inference.errors import BadRequest
from inference.models import Dialogue, DialogueMessage, DialogueStatus, DialogueTurn, Role, TurnStep

_CURSOR = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?")
AT_A_TIME = 100  # messages of one look
SOON_S, IDLE_S = 1.0, 5.0  # a reader looks so often by itself, while an answer is on its way or not
SHOWN = (Role.PERSON, Role.ASSISTANT, Role.HUMAN)


@dataclass(frozen=True, slots=True)
class Event:
    name: str  # message, delta, status, error or end
    data: Json
    id: str = ""


@dataclass(slots=True)
class Cursor:
    """The position of a reader: `parts` sentences of message `number`, all of it if None."""

    number: int = 0
    parts: int | None = None

    @classmethod
    def parsed(cls, text: str) -> "Cursor":
        """Returns the cursor in a Last-Event-ID. Raises BadRequest."""
        if not text:
            return cls()
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadRequest("Last-Event-ID must be the id of an event", param="Last-Event-ID")
        return cls(int(match[1]), int(match[2]) if match[2] else None)


@dataclass
class Look:
    """Returns the events after a cursor, and moves it."""

    events: list[Event] = field(default_factory=list)
    status: str = ""
    turn_is_over: bool = True
    in_progress: bool = False
    is_cut: bool = False  # there may be more messages


class Feed:
    """The events of one reader. With `turn_id` they end with that turn, else with the dialogue."""

    def __init__(self, dialogue: Dialogue, cursor: Cursor, turn_id: UUID | None = None) -> None:
        self._pk, self._tenant_id = dialogue.pk, dialogue.tenant_id
        self._cursor, self._turn_id, self._status = cursor, turn_id, ""

    async def events(self) -> AsyncGenerator[Event | None]:
        """Yields events up to the end, and None after each silence. Raises DatabaseError."""
        async with watching(self._pk) as wait:
            while True:
                look = await read_in_tenant(self._tenant_id, self._look)
                for event in look.events:
                    yield event
                if look.is_cut:
                    continue
                if self._is_over(look):
                    yield Event("end", {})
                    return
                if not look.events:
                    yield None
                await wait(SOON_S if look.in_progress else IDLE_S)

    def _is_over(self, look: Look) -> bool:
        if self._turn_id:
            return look.turn_is_over
        return look.status in ("", DialogueStatus.CLOSED)

    def _look(self) -> Look:
        dialogue = Dialogue.objects.filter(pk=self._pk).first()
        if dialogue is None:  # erased meanwhile
            return Look()
        look, turn = Look(status=dialogue.status), self._turn()
        look.turn_is_over = turn is None or turn.is_over
        look.in_progress = not look.turn_is_over
        rows = DialogueMessage.objects.filter(dialogue=dialogue, number__gte=self._cursor.number)
        shown = list(rows.filter(role__in=SHOWN).order_by("number")[:AT_A_TIME])
        for message in shown:
            look.events += self._of_message(message)
            if not message.whole:
                look.in_progress = True
                break  # what comes after it waits, so that the cursor can say where it is
        else:
            look.is_cut = len(shown) == AT_A_TIME
        look.events += self._of_status(dialogue.status)
        if turn and turn.step == TurnStep.FAILED:
            look.events.append(Event("error", {"code": turn.error_code}))
        return look

    def _turn(self) -> DialogueTurn | None:
        return DialogueTurn.objects.filter(pk=self._turn_id).first() if self._turn_id else None

    def _of_message(self, message: DialogueMessage) -> list[Event]:
        cursor, is_same = self._cursor, message.number == self._cursor.number
        if is_same and cursor.parts is None:
            return []
        if message.whole:
            cursor.number, cursor.parts = message.number, None
            return [Event("message", message_of(message), str(message.number))]
        try:
            parts = message.content.parts
        except Unreadable:
            return []
        first = (cursor.parts or 0) if is_same else 0
        cursor.number, cursor.parts = message.number, max(first, len(parts))
        return [_delta(message, n, parts[n]) for n in range(first, len(parts))]

    def _of_status(self, status: str) -> list[Event]:
        if status == self._status:
            return []
        self._status = status
        return [Event("status", {"status": status})]


def _delta(message: DialogueMessage, index: int, text: str) -> Event:
    data: dict[str, Any] = {"number": message.number, "role": message.role, "text": text}
    return Event("delta", data, f"{message.number}.{index + 1}")
