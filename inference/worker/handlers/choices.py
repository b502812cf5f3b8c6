"""Makes several answers under one order: all end together, and are one record and one bill.

The engine is asked a question for each answer, or for all answers to a prompt
(inference/engines/choices.py). One question at a time has the order's own slot; others run beside
it while slots are free. Such an order is never parked, and does not go on after its worker has
died: that would take an engine that continues each of its answers.
"""

import asyncio
import contextlib
import time
from collections import deque
from functools import partial
from typing import Any

import msgspec
import orjson

from inference.codec import events as sse
from inference.codec.answer_translator import take_out
from inference.engines.base import (
    LONGEST_ANSWER,
    AnswerBroken,
    AnswerTooLong,
    EngineFailed,
    WorkerLost,
)
from inference.engines.choices import questions
from inference.engines.transport.session import EngineSession
from inference.metrics.work import Gaps
from inference.record.outcome import Outcome
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Pace, Writer
from inference.tracing import span_values
from inference.tracing.spans import client_step
from inference.worker import token_counts
from inference.worker.handlers.gathered_choices import Gathered, Reply, finish_reason_of
from inference.worker.handlers.generation import ABORTED, BYTES_OF_A_TOKEN, LARGEST_TOKEN
from inference.worker.handlers.patient_asking import Asking, is_worked_on
from inference.worker.run.run import Run


class Choices(Asking):
    """Generates the answers of an order with several choices."""

    when_broken = "the engine sent no readable answers"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        order, engine = run.order, run.engine
        all_questions = questions(order, engine.makes_together)
        self._replies = [Reply(question) for question in all_questions]
        self._waiting = deque(self._replies)
        self._gathered = Gathered(order)
        self._hides_cache = not engine.tells_cache(order)
        self._body = b""  # of whole answers
        if not order.stream:
            self.output.sent = 0
        for event in run.earlier.events:
            self._count_earlier(sse.parsed(event))

    def _count_earlier(self, chunk: dict[str, Any]) -> None:
        """Count what an earlier attempt gave out: that has been generated."""
        for choice in self._gathered.note(chunk):
            number = choice.get("index") or 0
            reply = next((r for r in self._replies if r.has(number)), None)
            if reply:
                reply.began = True
                reply.count(choice)

    # Asking ---------------------------------------------------------------------------------------
    async def work(self, session: EngineSession, writer: Writer) -> None:
        if self.run.earlier.events:
            raise WorkerLost(502, "these answers broke off in the middle; send the request again")
        try:
            async with asyncio.TaskGroup() as group:
                while self._waiting:
                    reply = self._waiting.popleft()
                    self._fill_slots(group, session, writer)
                    await self._answer(reply, session, writer)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        if not self.order.stream:
            self._body = self._gathered.whole(self._replies)

    def _fill_slots(self, group: asyncio.TaskGroup, session: EngineSession, writer: Writer) -> None:
        """Begin further questions in slots that nobody else wants."""
        while self._waiting and self.run.services.slots.borrow(self.item.klass):
            reply = self._waiting.popleft()
            group.create_task(self._answer_beside(reply, group, session, writer))

    async def _answer_beside(
        self, reply: Reply, group: asyncio.TaskGroup, session: EngineSession, writer: Writer
    ) -> None:
        try:
            await self._answer(reply, session, writer)
        finally:
            self.run.services.slots.give_back()
        self._fill_slots(group, session, writer)

    async def _answer(self, reply: Reply, session: EngineSession, writer: Writer) -> None:
        """Ask one question. A failure names the choice with which all others end."""
        slots, further = self.run.services.slots, reply.question.count - 1
        slots.occupy(further)
        ask = partial(self._ask, reply, session, writer)
        try:
            await self.ask_patiently(ask, lambda: reply.began)
        except AnswerTooLong:
            reply.began, most = True, self.order.charge.completion_tokens
            reply.pieces = min(LONGEST_ANSWER // LARGEST_TOKEN, most)  # it was generated
            raise
        except EngineFailed as failure:
            self._name(failure, reply)
            raise
        finally:
            slots.give_back(further)

    def _name(self, failure: EngineFailed, reply: Reply) -> None:
        others_left = self.engine.config.hosted and any(each.began for each in self._replies)
        self.run.has_left = self.run.has_left or others_left
        if failure.status >= 500:
            which = f"choice {reply.question.first} of {self.order.choices}"
            failure.message += f" ({which}: the others end with it)"

    async def _ask(self, reply: Reply, session: EngineSession, writer: Writer) -> None:
        order = reply.question.order
        with client_step(span_values.call_name(order, self.engine.config.model)) as span:
            if order.stream:
                await self._read_events(reply, session, writer)
            else:
                self._take_whole(reply, await self._whole(reply, session))
            if span.is_on:
                attributes = span_values.of_engine(order, self.engine.config, stream=order.stream)
                reason = next(iter(reply.reasons.values()), "")
                span.tell(attributes | span_values.of_answer("", reason, reply.usage))

    async def _whole(self, reply: Reply, session: EngineSession) -> bytes:
        """Returns the engine's body, and notes since when it works on it. Raises EngineFailed."""
        reply.asked_at = time.time()
        try:
            return await self.engine.answer(session, reply.question.order)
        except EngineFailed:
            reply.asked_at = None
            raise

    def _begin(self, reply: Reply) -> None:
        reply.began = True
        self.first_at = self.first_at or time.time()

    # Streams -------------------------------------------------------------------------------------
    async def _read_events(self, reply: Reply, session: EngineSession, writer: Writer) -> None:
        output, pace, gaps = self.output, Pace(), Gaps(self.order, self.item.klass)
        answer = self.engine.events(
            session,
            reply.question.order,
            lambda came: writer.turn(len(output.events), came, pace),
        )
        async with contextlib.aclosing(answer) as stream:
            async for events in stream:
                had = len(output.events)
                is_over = self._take(reply, sse.relevant(events), writer)
                gaps.came(len(output.events) - had)
                if is_over:
                    break
        if not reply.is_whole:
            raise AnswerBroken

    def _take(self, reply: Reply, events: list[bytes], writer: Writer) -> bool:
        """Take events of a question. Returns whether they end its answers."""
        now = list[bytes]()
        try:
            for event in events:
                if event == sse.DONE:
                    return True
                if event.startswith((b'data: {"error"', b"error:")):
                    raise self.engine.broken(event.partition(b":")[2])
                now += self._given_out(reply, sse.parsed(event))
        finally:  # readers also get the events in front of an error
            if now:
                self.output.events += now
                self.output.sent += len(now)
                writer.put(self.order, self.output.frame(Kind.EVENTS, _blob(now)))
        return False

    def _given_out(self, reply: Reply, chunk: dict[str, Any]) -> list[bytes]:
        """Returns the events that readers may have now.

        The last answer's finish reason stays here until all is on record.
        """
        self._begin(reply)
        if self._hides_cache:
            take_out(chunk)
        if isinstance(usage := chunk.pop("usage", None), dict) and usage:
            reply.usage = usage
        now = list[bytes]()
        for choice in self._gathered.note(chunk):
            self._take_choice(reply, choice)
            event = self._gathered.event(chunk, choice)
            is_last = all(each.is_whole for each in self._replies)
            (self._gathered.held if is_last else now).append(event)
        return now

    def _take_choice(self, reply: Reply, choice: dict[str, Any]) -> None:
        """Give the choice its number among all. Raises AnswerBroken."""
        reply.number(choice)
        reply.count(choice)
        if choice.get("finish_reason") == ABORTED:
            raise AnswerBroken

    # Whole answers -------------------------------------------------------------------------------
    def _take_whole(self, reply: Reply, body: bytes) -> None:
        self._begin(reply)
        try:
            answer = orjson.loads(body)
            if self._hides_cache:
                take_out(answer)
            usage = answer.pop("usage", None)
            reply.usage = usage if isinstance(usage, dict) else {}
            for choice in self._gathered.note(answer):
                choice["finish_reason"] = choice.get("finish_reason") or "stop"
                self._take_choice(reply, choice)
                self._gathered.choices.append(choice)
        except (ValueError, TypeError, AttributeError):
            raise EngineFailed(502, "engine_failed", "the engine sent no valid answer") from None
        if not reply.is_whole:
            raise EngineFailed(502, "engine_failed", "the engine sent fewer answers than asked for")
        reply.pieces = max(1, reply.length // BYTES_OF_A_TOKEN)
        self._gathered.length += len(body)
        if self._gathered.length > LONGEST_ANSWER:
            raise AnswerTooLong

    # The end --------------------------------------------------------------------------------------
    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        # Nothing shows how far a whole answer had come. Its prompt has been read.
        cut = self.is_cut_off(failure)
        begun = [r for r in self._replies if r.began or (cut and is_worked_on(r.asked_at))]
        prompts = await asyncio.gather(*(self._prompt_tokens(session, each) for each in begun))
        answers = [self._answer_tokens(each) for each in begun]
        if not (failure or self.run.signals.cancelled):
            self._check_figures(list(zip(prompts, answers, strict=True)))
        engine, prompt = self.engine.config.id, sum(prompts)
        return msgspec.structs.replace(
            self.run.ending(failure, finish_reason_of(self._replies)),
            prompt_tokens=prompt,
            completion_tokens=sum(answers),
            cached_tokens=min(prompt, sum(each.cached_tokens for each in begun)),
            ttft_ms=self._ttft_ms() if self.order.stream else None,
            upstream=self.upstream,
            engine=engine if self.upstream and engine != self.order.queue else "",
            text="".join(each.text for each in begun),
            response=self._recorded(),
        )

    def _ttft_ms(self) -> int | None:
        return None if self.first_at is None else self.run.since_receipt(self.first_at)

    async def _prompt_tokens(self, session: EngineSession, reply: Reply) -> int:
        """Returns the engine's figure, or our own count if it sent no usable one."""
        order = reply.question.order
        most = max(self.engine.context_length, len(order.body))
        tokens = token_counts.believable(reply.usage, "prompt_tokens", most, least=1)
        if tokens is not None:
            return tokens
        if self.run.must_stay_here:
            return self.engine.estimate_prompt(order)
        return await self.engine.count_prompt(session, order)

    def _answer_tokens(self, reply: Reply) -> int:
        most = self.engine.context_length * reply.question.count
        least = 1 if reply.length else 0
        tokens = token_counts.believable(reply.usage, "completion_tokens", most, least)
        return reply.pieces if tokens is None else tokens

    def _check_figures(self, counts: list[tuple[int, int]]) -> None:
        """Report an engine that did not count, and give the reader the counts that are billed."""
        for reply, (prompt, answer) in zip(self._replies, counts, strict=True):
            own = token_counts.usage_of(prompt, answer)
            if all(reply.usage.get(name) == own[name] for name in token_counts.NAMES):
                continue
            token_counts.alert(self.engine.config.id, reply.usage)
            reply.usage = own
            self._body = b""  # it is made again, with these figures
        if not (self.order.stream or self._body):
            self._body = self._gathered.whole(self._replies)

    def _recorded(self) -> bytes:
        """Returns the whole answers for the record, or what there is of them."""
        if self.order.stream:
            return self._gathered.joined(self.output.events, self._replies)
        return self._body or self._gathered.whole(self._replies)

    def last_frame(self) -> Frame:
        if not self.order.stream:
            return self.output.frame(Kind.BODY, self._body)
        held = [*self._gathered.held]
        if self.order.include_usage:
            held.append(self._gathered.usage_event(self._replies))
        self.output.sent += len(held) + 1
        return self.output.frame(Kind.END, _blob([*held, sse.DONE]))

    def everything_sent(self) -> Frame | None:
        if not self.output.sent:
            return None
        self.output.name_engine_again()
        return self.output.frame(Kind.EVENTS, _blob(self.output.events))

    # Progress ------------------------------------------------------------------------------------
    @property
    def heard(self) -> int:
        return sum(each.pieces for each in self._replies) + len(self._gathered.held)

    @property
    def work_units_so_far(self) -> int:
        if self.first_at is None:
            return 0
        guess = len(self.order.body) // BYTES_OF_A_TOKEN
        prompt = min(guess, self.order.charge.prompt_tokens or guess)
        return prompt + 2 * sum(each.pieces for each in self._replies)


def _blob(events: list[bytes]) -> bytes:
    return b"\n\n".join(events) + b"\n\n"


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the failure of an engine among those of all questions, else the first one."""
    engines = (each for each in failures.exceptions if isinstance(each, EngineFailed))
    return next(engines, failures.exceptions[0])
