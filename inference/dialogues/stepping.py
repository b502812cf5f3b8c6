"""The steps of a turn before its answer: what the message wants, and what that takes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone
from msgspec import structs

from inference.actions import calling
from inference.actions.result import ActionResult
from inference.assistants import state as states
from inference.assistants import turns
from inference.assistants.state import Act, Confirm, HandOver, Result, Search, State, Step
from inference.assistants.transitions import changed, digest, hand_over
from inference.assistants.understanding import Prediction, WrongVector, classify
from inference.dialogues.progress import Passage, Progress
from inference.dialogues.scoped import read_in_tenant
from inference.dialogues.versions import Version
from inference.errors import ApiError
from inference.intake.access.allowed import NoSuchModel
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused, NotAdmitted, QueueFull
from inference.knowledge.embedding import Vector, embed
from inference.knowledge.searching import search
from inference.models import CallState, DialogueTurn, KnowledgeBase, TurnStep
from tenants.caller import Caller

MOST_STEPS = 6  # searches and actions of one turn
PASSAGES = 5
UNAVAILABLE = "unavailable"
EMBED_S = 15.0  # a vector that takes longer is none
_AWAY = (ApiError, NoSuchModel, EnginesPaused, QueueFull, WrongVector, TimeoutError)
_ANSWERS = ("slot", "confirm", "clarify")  # questions whose answers are understood without a model
_RESULTS = {
    CallState.SUCCEEDED: "done",
    CallState.FAILED: "refused",
    CallState.NOT_SENT: "failed",
    CallState.UNKNOWN: "unknown",
}


class Stepping:
    def __init__(
        self, context: Context, caller: Caller, version: Version, turn: DialogueTurn
    ) -> None:
        self._context, self._caller, self._version = context, caller, version
        self._turn, self._dialogue = turn, turn.dialogue
        self._spec, self._vectors = version.spec, dict[tuple[str, str], Vector]()

    async def steps(self, so_far: Progress) -> AsyncIterator[tuple[TurnStep, Progress]]:
        """Yields what the steps come to, to be made durable before the next one."""
        if so_far.step is None:
            so_far = await self._understand()
            yield TurnStep.UNDERSTOOD, so_far
        for _ in range(MOST_STEPS):
            step = so_far.step
            if isinstance(step, Act):
                yield TurnStep.ACTING, so_far
            following = await self._follow(so_far)
            if following is None:
                return
            so_far = following
            yield TurnStep.DECIDED, so_far

    async def _follow(self, so_far: Progress) -> Progress | None:
        """Returns the progress after the step; None where the step is to be said."""
        match so_far.step:
            case Search(query=query):
                return await self._search(so_far, query)
            case Act() as step:
                return await self._act(so_far, step)
            case Confirm() as step:
                return await self._propose(so_far, step)
        return None

    # Understanding -------------------------------------------------------------------------------
    async def _understand(self) -> Progress:
        before = await self._before()
        text = await read_in_tenant(self._turn.tenant_id, lambda: self._turn.question.content.text)
        predictions = await self._predictions(text)
        state, step = self._taken(before, text, predictions)
        if _asked_to_confirm(before) and not isinstance(step, Act):
            await calling.withdraw(self._dialogue)
        return Progress(state, step, (predictions or [])[:3])

    async def _before(self) -> State:
        """Returns the dialogue's state, with what the record says of its confirmed actions.

        A turn that ended while its action ran, since a human took over or it failed, has left
        nothing of it in the state.
        """
        before = await read_in_tenant(self._turn.tenant_id, lambda: states.unpacked(self._state))
        done = [digest(*each) for each in await calling.perhaps_done(self._dialogue)]
        return changed(before, confirmed=[*dict.fromkeys([*before.confirmed, *done])])

    @property
    def _state(self) -> bytes:
        return self._dialogue.state or states.packed(State(language=self._dialogue.language))

    def _taken(
        self, before: State, text: str, predictions: list[Prediction] | None
    ) -> tuple[State, Step]:
        """Returns state and step. A message that nothing here can read goes to a human."""
        state, step = turns.take(self._spec, before, text, predictions or [], self._today)
        answers = before.pending is not None and before.pending.kind in _ANSWERS
        if predictions is not None or answers or isinstance(step, HandOver):
            return state, step
        return hand_over(state, UNAVAILABLE)

    @property
    def _today(self) -> date:
        return timezone.localdate(timezone=ZoneInfo(self._caller.time_zone))

    async def _predictions(self, text: str) -> list[Prediction] | None:
        """Returns the likeliest intents; None if the model for it is away. Raises NotAdmitted."""
        classifier = self._version.classifier
        try:
            if classifier is None:
                return []
            return classify(classifier, await self._vector(text), text)
        except NotAdmitted as refusal:
            if refusal.admission.tier != "quota":
                raise
        except _AWAY:
            pass
        return None

    async def _vector(self, text: str, model: str = "") -> Vector:
        model = model or self._spec.embedding_model
        if (model, text) not in self._vectors:
            async with asyncio.timeout(EMBED_S):
                (vector,) = await embed(self._context, self._caller, model, [text])
            self._vectors[model, text] = vector
        return self._vectors[model, text]

    # Searching -----------------------------------------------------------------------------------
    async def _search(self, so_far: Progress, query: str) -> Progress:
        assert so_far.state
        passages = await self._passages(query)
        state, step = turns.after_search(self._spec, so_far.state, passages)
        return structs.replace(so_far, state=state, step=step, passages=passages)

    async def _passages(self, query: str) -> list[Passage]:
        """Returns the best passages; none if the base or its model is away."""
        if not self._spec.knowledge:
            return []
        base_id, tenant_id = UUID(self._spec.knowledge), self._turn.tenant_id
        model = await read_in_tenant(tenant_id, _model_of, base_id)
        try:
            vector = await self._vector(query, model)
        except (*_AWAY, NotAdmitted):
            return []
        cited = await search(base_id, tenant_id, query, vector, PASSAGES)
        return [
            Passage(str(each.id), each.title, each.text, each.relevance, each.url) for each in cited
        ]

    # Acting --------------------------------------------------------------------------------------
    async def _propose(self, so_far: Progress, step: Confirm) -> Progress | None:
        """Put the question on record. What cannot be called anyway goes to a human."""
        arguments = dict(step.arguments)
        refusal = await calling.propose(self._dialogue, self._turn.pk, step.action, arguments)
        if refusal is None:
            return None
        assert so_far.state
        state, following = hand_over(so_far.state, "action_failed")
        return structs.replace(so_far, state=state, step=following)

    async def _act(self, so_far: Progress, step: Act) -> Progress:
        """Call the action, once in this turn. What may have been done is never tried again."""
        arguments: dict[str, Any] = dict(step.arguments)
        turn_id = await read_in_tenant(self._turn.tenant_id, self._first_turn)
        if step.confirmed:
            begun = self._turn.created_at
            await calling.confirm(self._dialogue, turn_id, step.action, arguments, begun)
        result = await calling.call(self._dialogue, turn_id, step.action, arguments)
        assert so_far.state
        state, following = turns.after_action(self._spec, so_far.state, _result(result, step))
        outcome = result.text(state.language)
        return structs.replace(so_far, state=state, step=following, outcome=outcome)

    def _first_turn(self) -> UUID:
        """Returns the first turn of the message: where one fails after its call, the next one of
        the same message gets that call's outcome.
        """
        turns = self._turn.question.turns.order_by("created_at")
        pk: UUID = turns.values_list("pk", flat=True)[0]
        return pk


def _model_of(base_id: UUID) -> str:
    """Returns the embedding model of a knowledge base, "" of one that is gone."""
    models = KnowledgeBase.objects.filter(pk=base_id).values_list("model", flat=True)
    return models.first() or ""


def _asked_to_confirm(state: State) -> bool:
    return state.pending is not None and state.pending.kind == "confirm"


def _result(result: ActionResult, step: Act) -> Result:
    return Result(_RESULTS.get(result.state, "unknown"), step.number, result.answer)  # type: ignore[arg-type]
