"""Does a completion on one engine: streams its answer or takes it whole, and counts tokens."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import msgspec

from inference.codec import events as sse
from inference.codec import pieces
from inference.codec.answer_translator import AnswerTranslator, count, recounted
from inference.engines import Pool, continuation
from inference.engines.base import (
    LONGEST_ANSWER,
    AnswerBroken,
    AnswerTooLong,
    Engine,
    EngineFailed,
    WorkerLost,
)
from inference.engines.transport.session import EngineSession
from inference.metrics.work import Gaps
from inference.order import Order
from inference.reasoning import Said, as_one_text
from inference.record.outcome import Outcome
from inference.record.parked import MOST_TIMES, Parked
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Pace, Writer
from inference.tracing import attributes, span_values
from inference.tracing.spans import Value, client_step
from inference.worker import token_counts
from inference.worker.handlers.patient_asking import Asking
from inference.worker.run.run import Run

BYTES_OF_A_TOKEN = 4  # on average, of text
# vLLM and SGLang send this finish reason for requests that they abort as they stop.
ABORTED = "abort"
LARGEST_TOKEN = 4096  # bytes of an answer's JSON, with 20 logprobs


@dataclass
class AnswerSoFar:
    """The engine's answer so far.

    `held` are the events from the finish reason on: readers get them once the answer is on record.
    `over` is set by [DONE]. `body` is an answer in one piece.
    """

    translator: AnswerTranslator
    held: list[bytes] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str = ""
    over: bool = False
    body: bytes = b""


class Generation(Asking):
    """Generates one completion.

    `asked` is the order as it came; the run's may be replaced by one that continues its answer.
    `sent_before` counts the events that an earlier attempt gave to readers, which cannot be taken
    back. `in_pieces` tells whether the engine streams, whatever the client asked for.
    """

    when_broken = "the engine sent no readable answer"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        order, engine = run.order, run.engine
        self.asked = order
        self.sent_before = len(run.earlier.events)
        self.in_pieces = order.stream or bool(run.earlier.events)
        self._is_followed = False  # more text follows the events sent so far
        if not order.stream:
            self.output.sent = 0  # its reader gets nothing before the end
        self.tokens_before = 0
        self.answer = AnswerSoFar(
            AnswerTranslator(
                order.public_id,
                order.public_model,
                hides_cache=not engine.tells_cache(order),
                include_usage=order.include_usage,
            )
        )

    # Asking ---------------------------------------------------------------------------------------
    async def work(self, session: EngineSession, writer: Writer) -> None:
        # Redis has lost events if it has fewer than were parked.
        lost = self.sent_before < self.run.earlier.parked.events
        if lost or (self.sent_before and not self._take_up()):
            if self.order.stream:
                raise WorkerLost(502, "this answer broke off in the middle; send it again")
            self._begin_anew()
        await self.ask_patiently(partial(self._ask, session, writer))

    def _take_up(self) -> bool:
        """Continue where the earlier attempt broke off. Returns False if the engine cannot.

        Another version of the engine must not continue: an answer comes from one version alone.
        """
        if self.run.earlier.of_another_version:
            return False
        texts = self._texts()
        body = self._continued(self.engine, self.order, texts)
        if body is None:
            return False
        parked = self.run.earlier.parked
        since = sum(1 for event in self.output.events[parked.events :] if sse.said_in(event).text)
        self.tokens_before = parked.completion_tokens + since
        self.run.order = msgspec.structs.replace(self.order, body=body)
        return True

    def _begin_anew(self) -> None:
        """Forget what earlier attempts produced: the reader has none of it."""
        self.sent_before, self.output.events = 0, []
        self.run.earlier.parked = msgspec.structs.replace(
            self.run.earlier.parked, events=0, prompt_tokens=0, completion_tokens=0
        )

    def resumes_in(self, pool: Pool) -> bool:
        """Returns whether all engines of the pool can resume it, in the version of this one."""
        if self.answer.held or not self.order.keeps_events:
            return False
        version = self.engine.config.version
        if any(engine.config.version != version for engine in pool.engines):
            return False
        texts, form = self._texts(), self.engine.body_form
        own = (
            (engine, self.asked if engine.body_form == form else engine.adopted(self.asked))
            for engine in pool.engines
        )
        return all(self._continued(engine, order, texts) is not None for engine, order in own)

    def _texts(self) -> list[str] | None:
        """Returns the texts of the events so far; None after reasoning: it cannot be resumed."""
        parts = list(map(sse.said_in, self.output.events))
        if any(piece.reasoning for piece in parts):
            return None
        return [piece.text for piece in parts if piece.text]

    @staticmethod
    def _continued(engine: Engine, order: Order, texts: list[str] | None) -> bytes | None:
        """Returns the body that continues after these texts; None if the answer could change."""
        if texts is None or not continuation.retokenizes_alike(order, "".join(texts[:2])):
            return None
        return engine.continued(order, "".join(texts), len(texts))

    async def _ask(self, session: EngineSession, writer: Writer) -> None:
        with client_step(span_values.call_name(self.order, self.engine.config.model)) as span:
            began = time.time()
            try:
                await self._ask_engine(session, writer)
            finally:
                if span.is_on:
                    span.tell(self._told(began))

    def _told(self, began: float) -> dict[str, Value]:
        values = span_values.of_engine(self.order, self.engine.config, stream=self.in_pieces)
        if self.in_pieces and self.first_at:
            values[attributes.FIRST_CHUNK] = max(0.0, self.first_at - began)
        return values | span_values.of_answer(
            self.answer.translator.engines_model, self.answer.finish_reason, self.answer.usage
        )

    async def _ask_engine(self, session: EngineSession, writer: Writer) -> None:
        if not self.in_pieces:
            body = await self.engine.answer(session, self.order)
            self.first_at = time.time()
            self._take_whole(body)
            return
        pace, gaps = Pace(), Gaps(self.order, self.item.klass)
        order = self.order if self.order.stream else continuation.as_stream(self.order)
        answer = self.engine.events(
            session, order, lambda came: writer.turn(len(self.output.events), came, pace)
        )
        signals, output = self.run.signals, self.output.events
        async with contextlib.aclosing(answer) as stream:
            async for events in stream:
                if signals.must_park and self._stops:
                    self._stop_before(events)
                had = len(output)
                self._take(sse.relevant(events), writer)
                gaps.came(len(output) - had)
                if self.answer.over:
                    break
                if signals.must_park:
                    self.run.stop_if_told()
        if not self.answer.finish_reason:
            raise AnswerBroken
        if not self.order.stream:
            self.answer.body = pieces.as_answer(self._given(), self.answer.usage)

    @property
    def heard(self) -> int:
        return len(self.output.events) + len(self.answer.held)

    @property
    def is_streamed(self) -> bool:
        return self.in_pieces

    @property
    def work_units_so_far(self) -> int:
        """Returns the work units of the events so far. An answer in one piece shows none."""
        if self.first_at is None:
            return 0
        guess = len(self.order.body) // BYTES_OF_A_TOKEN
        prompt = min(guess, self.order.charge.prompt_tokens or guess)
        return prompt + 2 * self.output.sent

    # Streams -------------------------------------------------------------------------------------
    def _take(self, events: list[bytes], writer: Writer) -> None:
        if events and self.first_at is None:
            self.first_at = time.time()
            self.answer.translator.learn(events[0])
        now: list[bytes] = []
        try:
            self._sort(events, now)
        finally:  # readers also get the events in front of an error
            if now:
                self._give_out(now, writer)

    def _sort(self, events: list[bytes], now: list[bytes]) -> None:
        """Append to `now` the events that readers may have; hold the tail. Raises EngineFailed."""
        if not (self.sent_before or self.answer.held) and sse.are_text_alone(events):
            now += events
            return
        for event in events:
            if self.sent_before and sse.opens(event):
                continue  # the reader has the opening event of the earlier attempt
            if self.answer.held or sse.ends(event):
                self._hold(event)
            elif event.startswith((b'data: {"error"', b"error:")):
                raise self.engine.broken(event.partition(b":")[2])
            elif event != sse.DONE:
                now.append(self.answer.translator.piece(event))

    def _give_out(self, now: list[bytes], writer: Writer) -> None:
        self.output.events += now
        if not self.order.stream:
            return
        self.output.sent += len(now)
        writer.put(self.order, self.output.frame(Kind.EVENTS, self.answer.translator.blob(now)))

    def _hold(self, event: bytes) -> None:
        """Hold an event of the tail: finish reason, usage, [DONE]."""
        if event == sse.DONE:
            self.answer.over = True
            return
        tail = self.answer.translator.tail(event, self.tokens_before)
        if tail.finish_reason == ABORTED:
            raise AnswerBroken
        self.answer.finish_reason = tail.finish_reason or self.answer.finish_reason
        if tail.usage is not None:
            self.answer.usage = tail.usage
        self.answer.held += tail.events

    # Parking --------------------------------------------------------------------------------------
    def may_be_parked(self) -> bool:
        """Returns whether it can be parked. If so, the engine streams, also for a whole answer."""
        goes_on = self.engine.resumes_unchanged(self.asked)
        if not self.order.stream:
            self.in_pieces = self.in_pieces or goes_on
        here = not self.engine.config.hosted and self.run.earlier.parked.times < MOST_TIMES
        return here and (goes_on or self.order.stream)

    def may_requeue(self) -> bool:
        """Returns whether the engine has sent nothing, or resumes as if it had not been stopped."""
        if self.answer.held or self.answer.over:
            return False
        if not self.output.events:
            return True
        if not self.engine.resumes_unchanged(self.asked):
            return False
        return self._continued(self.engine, self.asked, self._texts()) is not None

    def can_pause_here(self) -> bool:
        """Returns whether the answer can be continued after its last event.

        Some chat templates cut spaces off the end of a text that the engine is to continue. With
        stop strings, the last text may end where one began, unless more text has followed it.
        """
        if self._stops and self.output.events and not self._is_followed:
            return False
        text = self._last_text()
        return not (text[-1:].isspace() or continuation.ends_inside_stop(self._stops, text))

    def _stop_before(self, events: list[bytes]) -> None:
        """Stop before these events, if something ends the work: the engine makes them again."""
        self._is_followed = sse.are_text_alone(events)
        self.run.stop_if_told()
        self._is_followed = False

    @cached_property
    def _stops(self) -> list[str]:
        return continuation.stops_of(self.asked)

    def _last_text(self) -> str:
        """Returns the end of the text; each event asks for it, so the whole is not joined."""
        pieces, rest = deque[str](), continuation.LONGEST_STOP
        for event in reversed(self.output.events):
            pieces.appendleft(text := sse.text_in(event))
            rest -= len(text)
            if rest <= 0:
                break
        return "".join(pieces)

    async def park(self, session: EngineSession, writer: Writer) -> Parked:
        if self.output.events:
            self._keep_events(writer)
            await writer.written(self.order.id.bytes)
        prompt, answer = await self._taken(session)
        times, events = self.run.earlier.parked.times + 1, len(self.output.events)
        return Parked(
            times,
            events,
            prompt,
            answer,
            self.run.queue_ms,
            self._ttft_ms(),
            millijoules=self.run.millijoules,
        )

    def _keep_events(self, writer: Writer) -> None:
        """Store all events in the stream for the next attempt. Readers have theirs already."""
        self.output.name_engine_again()
        frame = self.output.frame(Kind.EVENTS, self.answer.translator.blob(self.output.events))
        frame = msgspec.structs.replace(frame, last=len(self.output.events))
        writer.put(msgspec.structs.replace(self.asked, reply_to="", stream=True), frame)

    async def _taken(self, session: EngineSession) -> tuple[int, int]:
        """Returns tokens of the prompt and of the answer so far; an event may carry several."""
        texts = self._texts()
        if not texts or (body := self._continued(self.engine, self.asked, texts)) is None:
            return 0, 0
        goes_on = msgspec.structs.replace(self.asked, body=body)
        prompt, both = await asyncio.gather(
            self._count_prompt(session), self.engine.count_prompt(session, goes_on)
        )
        estimated = both == self.engine.estimate_prompt(goes_on)  # the engine did not count
        return prompt, len(texts) if estimated else max(len(texts), both - prompt)

    async def _count_prompt(self, session: EngineSession) -> int:
        known = self.run.earlier.parked.prompt_tokens
        return known or await self.engine.count_prompt(session, self.asked)

    # Whole answers -------------------------------------------------------------------------------
    def _take_whole(self, body: bytes) -> None:
        try:
            whole = self.answer.translator.whole(body)
        except ValueError:
            raise EngineFailed(502, "engine_failed", "the engine sent no valid answer") from None
        if whole.finish_reason == ABORTED:
            raise AnswerBroken
        self.answer.body, self.answer.usage = whole.body, whole.usage
        self.answer.finish_reason = whole.finish_reason

    # The end --------------------------------------------------------------------------------------
    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        prompt, generated = self._prompt_figure(), self._answer_figure()
        uncounted = None in (prompt, generated) and not (failure or self.run.signals.cancelled)
        details = self.answer.usage.get("prompt_tokens_details")
        if prompt is None:
            prompt = await self._prompt(session, failure)
        if generated is None:
            generated = self._counted(failure)
        if uncounted:
            token_counts.alert(self.engine.config.id, self.answer.usage)
            self._tell_counts(token_counts.usage_of(prompt, generated))
        words, engine = self._said(), self.engine.config.id
        return msgspec.structs.replace(
            self.run.ending(failure, self.answer.finish_reason),
            prompt_tokens=prompt,
            completion_tokens=generated,
            cached_tokens=min(prompt, count(details, "cached_tokens") or 0),
            ttft_ms=self._ttft_ms() if self.order.stream else None,
            upstream=self.upstream,
            engine=engine if self.upstream and engine != self.order.queue else "",
            text=words.text,
            reasoning=words.reasoning,
            response=self.answer.body or self._recorded(words, failure),
        )

    def _tell_counts(self, usage: dict[str, Any]) -> None:
        """Give the reader the count that is billed, where the engine sent no usable one."""
        answer = self.answer
        answer.usage = usage
        if not self.order.stream:
            answer.body = recounted(answer.body, usage)
        elif self.order.include_usage:
            answer.held = answer.translator.counted(answer.held, usage)

    def _ttft_ms(self) -> int | None:
        before = self.run.earlier.parked.ttft_ms
        if before is not None or self.first_at is None:
            return before
        return self.run.since_receipt(self.first_at)

    def _prompt_figure(self) -> int | None:
        """Returns the engine's count, if plausible: a token of text has at least one byte."""
        most = max(self.engine.context_length, len(self.order.body))
        return token_counts.believable(self.answer.usage, "prompt_tokens", most, least=1)

    def _answer_figure(self) -> int | None:
        """Returns the engine's count, if plausible: an answer without a text may have 0."""
        most = self.engine.context_length
        figure = token_counts.believable(self.answer.usage, "completion_tokens", most)
        return None if figure == 0 and self._has_words() else figure

    def _has_words(self) -> bool:
        if body := self.answer.body:
            return any(sse.said_of(body)) or sse.has_other_words(body)
        return any(map(_is_piece, self.output.events))

    async def _prompt(self, session: EngineSession, failure: EngineFailed | None) -> int:
        """Returns our own count of the prompt's tokens, if the engine sent no usable one."""
        began = self.first_at is not None or isinstance(failure, AnswerTooLong)
        # Nothing shows how far a whole answer had come. Its prompt has been read.
        began = began or (not self.in_pieces and self.is_let_in and self.is_cut_off(failure))
        cut = self.run.signals.cancelled or failure is not None
        if not (began or self.sent_before or self.run.earlier.parked.events or not cut):
            return 0
        if self.run.must_stay_here:
            return self.engine.estimate_prompt(self.asked)
        return await self._count_prompt(session)

    def _counted(self, failure: EngineFailed | None) -> int:
        """Returns our own count of the answer's tokens: one for each event, else by its bytes."""
        if isinstance(failure, AnswerTooLong):  # it was at least this long
            return min(LONGEST_ANSWER // LARGEST_TOKEN, self.order.charge.completion_tokens)
        if self.answer.body:
            text = "".join(sse.said_of(self.answer.body)).encode()
            # a tool call has no text
            return max(1, len(text or self.answer.body) // BYTES_OF_A_TOKEN)
        since = self.output.events[self.run.earlier.parked.events :]
        # What it had when it was parked counts also if Redis lost its events.
        earlier_tokens = self.run.earlier.parked.completion_tokens
        return earlier_tokens + sum(map(_is_piece, since))

    def _said(self) -> Said:
        if self.answer.body:
            return sse.said_of(self.answer.body)
        if not self.order.stream:
            return sse.NOTHING
        return sse.said_in_all([*self.output.events, *self.answer.held])

    def _recorded(self, said: Said, failure: EngineFailed | None) -> bytes:
        """Returns what the record keeps: the text; the whole answer if it may be sent again."""
        if not self.order.is_recorded_whole or failure or self.run.signals.cancelled:
            return as_one_text(said).encode()
        return pieces.as_record(self._given(), self.answer.usage)

    def _given(self) -> list[bytes]:
        return sse.split(self.answer.translator.blob([*self.output.events, *self.answer.held]))

    def last_frame(self) -> Frame:
        if not self.order.stream:
            return self.output.frame(Kind.BODY, self.answer.body)
        self.output.sent += len(self.answer.held) + 1  # and [DONE]
        return self.output.frame(Kind.END, self.answer.translator.blob(self.answer.held, ends=True))

    def everything_sent(self) -> Frame | None:
        if not self.output.sent:
            return None
        self.output.name_engine_again()  # an attempt that resumes needs the version that began
        return self.output.frame(Kind.EVENTS, self.answer.translator.blob(self.output.events))


def _is_piece(event: bytes) -> bool:
    """Returns whether an event has a piece of the answer: of its text, its thoughts, a call."""
    return any(sse.said_in(event)) or sse.has_other_words(event)
