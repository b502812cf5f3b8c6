"""Evaluates a model: asks the engine for each item of a task set, in steps of some seconds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import orjson
from channels.db import database_sync_to_async

from audit.keys.keyring import Unreadable
from inference.engines.base import AnswerBroken, EngineAway, EngineFailed, context_exceeded
from inference.engines.scoring import Scoring
from inference.engines.transport.session import EngineSession
from inference.evaluation import results, side_order
from inference.evaluation.content import SCORED, Content, Item, Kind
from inference.evaluation.results import AnswerResult, ChoiceResult, SideResults, TextResult
from inference.models import TaskSet
from inference.models.evaluations.evaluation import note_progress
from inference.order import Order
from inference.record.work_units import WorkUnits
from inference.worker import token_counts
from inference.worker.handlers.generation import BYTES_OF_A_TOKEN
from inference.worker.handlers.stepwise import StepwiseHandler
from inference.worker.run.run import Run
from tenants.scope import tenant_scope

STEP_S = 2.0  # so long a step lasts, and the question after that
PATIENCE_S, AGAIN_S = 15.0, 0.5  # for an engine that restarts
QUESTION_S = 900.0  # the longest that an engine may take for an item, or a piece of a text


class Progress(msgspec.Struct):
    """The results so far. `text` is the one that is being read, up to its token `at`."""

    done: SideResults
    text: TextResult | None = None
    at: int = 0


class Evaluation(StepwiseHandler):
    """One side of an evaluation."""

    when_broken = "the evaluation could not be processed"
    asked: side_order.Asked

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._items: list[Item] = []
        self._content: Content | None = None
        self._units = WorkUnits()

    def resume(self, state: bytes) -> None:
        try:
            self.asked = side_order.asked_in(self.order.body)
        except (msgspec.DecodeError, KeyError, TypeError):
            raise _failed(400, "invalid_request", "this is no evaluation") from None
        empty = Progress(SideResults(self.order.public_model, self.asked.kind))
        self._state = msgspec.msgpack.decode(state, type=Progress) if state else empty

    @property
    def is_done(self) -> bool:
        return self._state.done.done >= self.asked.items

    def state(self) -> bytes:
        return results.packed(self._state)

    def result(self) -> bytes:
        return results.as_json(self._state.done)

    async def step(self, session: EngineSession) -> WorkUnits:
        content = await self._loaded()
        self._note_engine()
        self._units, began = WorkUnits(), time.monotonic()
        while not self.is_done:
            try:
                await self._ask_for_a_while(session, content)
                break
            except EngineAway:
                if time.monotonic() > began + PATIENCE_S:
                    raise
                await asyncio.sleep(AGAIN_S)
        await self._note_progress()
        return self._units

    async def _ask_for_a_while(self, session: EngineSession, content: Content) -> None:
        """Ask for one item or piece of a text, and for more of them until STEP_S are over."""
        async with self._scoring(session, content) as scoring:
            until = time.monotonic() + STEP_S
            while not self.is_done:
                await self._ask(session, scoring, content, self._items[self._state.done.done])
                if time.monotonic() >= until:
                    break

    async def _ask(
        self, session: EngineSession, scoring: Scoring | None, content: Content, item: Item
    ) -> None:
        try:
            async with asyncio.timeout(QUESTION_S):
                await self._ask_for(session, scoring, content, item)
        except TimeoutError:  # nobody else watches long work for an engine that is silent
            raise AnswerBroken("the engine did not answer in time") from None

    async def _ask_for(
        self, session: EngineSession, scoring: Scoring | None, content: Content, item: Item
    ) -> None:
        if scoring is None:
            self._state.done.answers.append(await self._answer(session, content, item))
        elif content.kind == Kind.PERPLEXITY:
            await self._read_on(scoring, content, item)
        else:
            self._state.done.choices.append(await self._choose(scoring, content, item))

    # What it needs -------------------------------------------------------------------------------
    async def _loaded(self) -> Content:
        if self._content is None:
            self._content = await database_sync_to_async(self._load)()
            self._items = self._content.test_items
        return self._content

    def _load(self) -> Content:
        try:
            with tenant_scope(self.order.tenant_id):
                content = TaskSet.objects.get(pk=self.asked.task_set).content
        except (TaskSet.DoesNotExist, Unreadable):
            raise _failed(404, "task_set_gone", "the task set has been removed") from None
        if content.sha256 != self.asked.sha256:
            raise _failed(409, "task_set_changed", "the task set is another one")
        return content

    def _note_engine(self) -> None:
        """Note which engine answers. A report is about one version alone."""
        adapter, done = self.order.adapter, self._state.done
        version = adapter.label if adapter else self.engine.config.version
        if done.versions and done.versions != [version]:
            text = "the engines of this model changed their version meanwhile"
            raise _failed(409, "version_changed", text)
        done.versions = [version]
        if self.engine.upstream not in done.engines:
            done.engines.append(self.engine.upstream)

    @asynccontextmanager
    async def _scoring(
        self, session: EngineSession, content: Content
    ) -> AsyncIterator[Scoring | None]:
        if content.kind not in SCORED:
            yield None
            return
        async with self.engine.scoring(session, self.order) as scoring:
            yield scoring

    async def _note_progress(self) -> None:
        def write() -> None:
            with tenant_scope(self.order.tenant_id):
                note_progress(self.asked.evaluation, self.asked.side, self._state.done.done)

        await database_sync_to_async(write)()

    # Items ---------------------------------------------------------------------------------------
    async def _read_on(self, scoring: Scoring, content: Content, item: Item) -> None:
        """Read the next piece of a text, which ends the item when it was the last one."""
        tokens = await scoring.tokens(item.text, begins=True)
        at, window = max(1, self._state.at), content.options.window
        self._refuse_too_long(min(window, len(tokens)))
        text = self._state.text or TextResult(size=len(item.text.encode()))
        start = (at - 1) // window * window
        end = min(start + window + 1, at + scoring.piece, len(tokens))
        scores = await scoring.score(tokens[start:at], tokens[at:end])
        for token, score in zip(tokens[at:end], scores.tokens, strict=True):
            text.loss += score.loss
            text.right += score.top == token
            text.outside += score.outside
            text.words.append(token)
            text.tops.append(score.top)
        text.tokens += len(scores.tokens)
        self._bill(end - at, scores.questions)
        self._state.text, self._state.at = text, end
        if end >= len(tokens):
            self._state.done.texts.append(text)
            self._state.text, self._state.at = None, 0

    def _refuse_too_long(self, tokens: int) -> None:
        """Refuse before the first piece: the engine would read on for minutes up to its limit."""
        if tokens > self.engine.context_length:
            text = context_exceeded(self.engine.context_length, tokens, "text")
            raise _failed(400, "context_length_exceeded", text)

    async def _choose(self, scoring: Scoring, content: Content, item: Item) -> ChoiceResult:
        prompt = await scoring.tokens(item.prompt, begins=True)
        result = ChoiceResult([], [len(choice.encode()) for choice in item.choices])
        questions = 0
        for choice in item.choices:
            tokens = await scoring.tokens(content.options.separator + choice, begins=False)
            scores = await scoring.score(prompt, tokens)
            result.scores.append(-sum(score.loss for score in scores.tokens))
            result.outside += sum(score.outside for score in scores.tokens)
            result.tokens += len(tokens)
            questions += scores.questions
        self._bill(len(prompt) + result.tokens, questions)
        return result

    async def _answer(self, session: EngineSession, content: Content, item: Item) -> AnswerResult:
        chat = bool(item.messages)
        text: dict[str, Any] = {"messages": item.messages} if chat else {"prompt": item.prompt}
        limits = {"max_tokens": content.options.max_tokens, "temperature": 0, "stream": False}
        stop = {} if chat else {"stop": ["\n"]}
        body = self.engine.prepare({**text, **limits, **stop}, chat=chat)
        order = msgspec.structs.replace(self.order, body=orjson.dumps(body), chat=chat)
        answer = orjson.loads(await self.engine.answer(session, order))
        choice = answer["choices"][0]
        words = choice["message"].get("content") if chat else choice.get("text")
        words = words if isinstance(words, str) else ""
        await self._bill_answer(session, order, answer.get("usage"), words)
        return AnswerResult(words, choice.get("finish_reason") == "length")

    async def _bill_answer(
        self, session: EngineSession, order: Order, usage: Any, words: str
    ) -> None:
        """Bill the engine's figures, and our own in place of missing or impossible ones."""
        context, least = self.engine.context_length, 1 if words else 0
        most = max(context, len(order.body))
        prompt = token_counts.believable(usage, "prompt_tokens", most, least=1)
        completion = token_counts.believable(usage, "completion_tokens", context, least)
        if None in (prompt, completion):
            token_counts.alert(self.engine.config.id, usage)
        if prompt is None:
            prompt = await self.engine.count_prompt(session, order)
        if completion is None:
            completion = len(words.encode()) // BYTES_OF_A_TOKEN
        self._bill(prompt, completion)

    def _bill(self, prompt: int, completion: int) -> None:
        self._units += WorkUnits(prompt_tokens=prompt, completion_tokens=completion)
        self._state.done.prompt_tokens += prompt
        self._state.done.completion_tokens += completion


def _failed(status: int, code: str, message: str) -> EngineFailed:
    failure = EngineFailed(status, code, message)
    failure.engines_fault = False
    return failure
