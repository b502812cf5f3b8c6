"""Gives a turn's answer: worded by the model and checked sentence by sentence, or in plain words.

A sentence is given out only if the sources support it. Where the model is away, is too slow, or
says nothing that they support, the plain words answer, which need no model.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django.utils import timezone

from inference.assistants import wording
from inference.assistants.grounding import supported
from inference.assistants.lengths import length_of
from inference.assistants.spec import Length
from inference.assistants.state import Arguments, Say, State, Step, Wait
from inference.dialogues import recording
from inference.dialogues.progress import Passage, Progress
from inference.dialogues.splitting import sentences
from inference.dialogues.versions import Version
from inference.dialogues.wording_request import NotWorded, Wording
from inference.errors import ApiError
from inference.intake.access.allowed import NoSuchModel
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted, OutOfService
from inference.models import DialogueTurn
from inference.models.assistants.dialogue import Content, Source
from tenants.caller import Caller

log = logging.getLogger(__name__)
Durably = Callable[..., Awaitable[None]]
RESERVE_S = 3.0  # of a turn's time, for what follows the wording
_NO_MODEL = (NotWorded, NotAdmitted, NoSuchModel, OutOfService, ApiError, TimeoutError)


class Answering:
    def __init__(
        self,
        context: Context,
        caller: Caller,
        version: Version,
        turn: DialogueTurn,
        durably: Durably,
    ) -> None:
        self._spec, self._turn, self._durably = version.spec, turn, durably
        self._wording = Wording(context, caller, turn.pk)
        self._parts, self._seen = list[str](), 0
        self._fields: dict[str, Any] = {}

    async def give(self, so_far: Progress) -> None:
        """Record the answer, its sentences first. Raises LostTurn."""
        state, step = so_far.state, so_far.step
        assert state
        assert step
        self._fields = _named(state, step)
        if messages := self._messages(so_far, state, step):
            await self._word(messages, so_far, state, step)
        content = self._content(so_far, state, step)
        await self._durably(recording.answer, self._turn, state, step, content, self._fields)

    # In the model's words ------------------------------------------------------------------------
    def _messages(self, so_far: Progress, state: State, step: Step) -> list[dict[str, str]]:
        if not self._spec.chat_model or so_far.outcome or isinstance(step, Wait):
            return []
        length = self._length(state, step)
        return wording.messages(self._spec, step, so_far.passages, state.language, length)

    def _length(self, state: State, step: Step) -> Length:
        return length_of(self._spec, state, step, self._turn.dialogue.channel)

    async def _word(
        self, messages: list[dict[str, str]], so_far: Progress, state: State, step: Step
    ) -> None:
        facts = {**state.facts, **(step.values if isinstance(step, Say) else {})}
        text, rest_s = "", (self._turn.deadline - timezone.now()).total_seconds() - RESERVE_S
        try:
            async with asyncio.timeout(max(0.1, rest_s)):
                async for text in self._wording.texts(self._spec.chat_model, messages):
                    whole, _rest = sentences(text, over=False)
                    await self._check(whole, so_far.passages, facts, step)
            whole, _rest = sentences(text, over=True)
            await self._check(whole, so_far.passages, facts, step)
        except _NO_MODEL as problem:
            log.warning("turn %s is not worded by the model: %r", self._turn.pk, problem)

    async def _check(
        self, whole: list[str], passages: list[Passage], facts: Arguments, step: Step
    ) -> None:
        """Give out the new sentences that the sources support."""
        fresh, self._seen = whole[self._seen :], max(self._seen, len(whole))
        if true := [each for each in fresh if supported(each, passages, facts)]:
            self._parts += true
            fields = {**self._fields, **self._by_model}
            await self._durably(recording.say_more, self._turn, step, Content(self._parts), fields)

    @property
    def _by_model(self) -> dict[str, Any]:
        return {"worded_by": "model", "completion_id": self._wording.completion_id}

    # The whole answer ----------------------------------------------------------------------------
    def _content(self, so_far: Progress, state: State, step: Step) -> Content | None:
        """Returns what the message says; None where nothing is to be said."""
        if isinstance(step, Wait):
            return None
        if self._parts:
            self._fields |= self._by_model
            return Content(self._parts, _sources(step, so_far.passages))
        self._fields |= {"worded_by": "plain", "completion_id": self._wording.completion_id}
        text = so_far.outcome or wording.plain(
            self._spec, step, state.language, so_far.passages, self._length(state, step)
        )
        return Content([text], _sources(step, so_far.passages)) if text else None


def _named(state: State, step: Step) -> dict[str, Any]:
    """Returns the intent and the step, for the message's row."""
    intent = getattr(step, "intent", "") or state.intent
    name = step.key if isinstance(step, Say) else type(step).__name__.lower()
    return {"intent": intent[:80], "step": name[:12]}


def _sources(step: Step, passages: list[Passage]) -> list[Source]:
    """Returns each document that the answer is from, once."""
    if not isinstance(step, Say) or step.key != "passages":
        return []
    named = {(each.title, each.url): Source(each.id, each.title, each.url) for each in passages}
    return list(named.values())
