"""A completion on one engine: the stream or the whole answer, and what it took."""

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
import msgspec
import orjson

from inference.engines import cache_figures
from inference.engines.base import LONGEST_ANSWER, AnswerTooLong, Engine, EngineAway, EngineFailed
from inference.order import Item, Order
from inference.reasoning import Said, as_one_text
from inference.record.ledger import Outcome
from inference.stream import events as sse
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.worker.handlers.base import Handler

ENGINE_PATIENCE_S = 15.0  # an engine that restarts is back within that time
ELSEWHERE_AFTER_S = 1.0  # where another pool of the model can take the request
ENGINE_AGAIN_S = 0.25
LARGEST_TOKEN = 4096  # bytes of an answer's JSON, with 20 logprobs


class Generation(Handler):
    when_broken = "the engine sent no readable answer"

    def __init__(
        self, order: Order, item: Item, engine: Engine, sent_before: list[bytes] | None = None
    ) -> None:
        super().__init__(order, item, engine, sent_before)
        self.first_at: float | None = None
        self.tokens_before = 0
        self.body = b""  # of a whole answer
        self.held: list[bytes] = []  # from the finish reason on: shown once it is on record
        self.usage: dict[str, Any] = {}
        self.finish_reason = ""
        self.over = False  # the engine has said [DONE]
        self.upstream = ""  # once it has been asked
        self._names: list[tuple[bytes, bytes]] = []

    # Asking ---------------------------------------------------------------------------------------
    async def work(self, session: aiohttp.ClientSession, writer: Writer) -> None:
        if self.sent_before and not self._take_up():
            raise EngineFailed(
                502, "worker_lost", "the worker died in the middle of this answer; send it again"
            )
        self.upstream = self.engine.upstream[:120]
        patience = ELSEWHERE_AFTER_S if self.elsewhere and not self.sent else ENGINE_PATIENCE_S
        give_up = time.time() + patience
        while True:
            try:
                return await self._ask(session, writer)
            except EngineAway:  # it never got the request: what broke later is not sent again
                if self.first_at or time.time() > give_up:
                    raise
                await asyncio.sleep(ENGINE_AGAIN_S)

    def _take_up(self) -> bool:
        """Goes on where the earlier attempt broke off, if the engine can."""
        said = list(map(sse.said_in, self.sent_events))
        if any(piece.reasoning for piece in said):
            return False
        pieces = [piece.text for piece in said if piece.text]
        body = self.engine.continued(self.order, "".join(pieces), len(pieces))
        if body is None:
            return False
        self.tokens_before = len(pieces)
        self.order = msgspec.structs.replace(self.order, body=body)
        return True

    async def _ask(self, session: aiohttp.ClientSession, writer: Writer) -> None:
        if not self.order.stream:
            body = await self.engine.answer(session, self.order)
            self.first_at = time.time()
            self.body = self._read_answer(body)
            return
        async with contextlib.aclosing(self.engine.events(session, self.order)) as stream:
            async for events in stream:
                self._take(sse.relevant(events), writer)
                if self.over:
                    break
        if not self.finish_reason:
            raise EngineFailed(502, "engine_failed", "the engine broke off the answer")

    # Streams -------------------------------------------------------------------------------------
    def _take(self, events: list[bytes], writer: Writer) -> None:
        if events and self.first_at is None:
            self.first_at = time.time()
            self._learn_names(events[0])
        now: list[bytes] = []
        try:
            self._sort(events, now)
        finally:  # also what came in front of an error
            if now:
                self._give_out(now, writer)

    def _sort(self, events: list[bytes], now: list[bytes]) -> None:
        """Into what may be shown now and what is held. Raises EngineFailed at an error event."""
        for event in events:
            if self.sent_before and sse.opens(event):
                continue  # the reader has seen one
            if self.held or sse.ends(event):
                self._hold(event)
            elif event.startswith((b'data: {"error"', b"error:")):
                raise self.engine.broken(event.partition(b":")[2])
            elif event != sse.DONE:
                now.append(self._without_cache(event))

    def _give_out(self, now: list[bytes], writer: Writer) -> None:
        self.sent += len(now)
        self.sent_events += now
        blob = self._renamed(b"\n\n".join(now) + b"\n\n")
        writer.put(self.order, self.frame(Kind.EVENTS, blob))

    def _hold(self, event: bytes) -> None:
        """The tail: finish reason, usage, [DONE]."""
        if event == sse.DONE:
            self.over = True
            return
        found = sse.parsed(event)
        self.finish_reason = sse.finish_reason(found) or self.finish_reason
        if self._hide_cache(found):
            event = self._written(found)
        if found.get("usage"):
            self.usage = found["usage"] if isinstance(found["usage"], dict) else {}
            if not self.order.include_usage:
                if not found.get("choices"):
                    return
                event = self._written({k: v for k, v in found.items() if k != "usage"})
        self.held.append(event)

    def _without_cache(self, event: bytes) -> bytes:
        """Some servers send usage with every piece."""
        if self.engine.cache_is_private or not cache_figures.may_tell(event):
            return event
        found = sse.parsed(event)
        return self._written(found) if cache_figures.take_out(found) else event

    def _written(self, chunk: dict[str, Any]) -> bytes:
        """With our names: `_names` finds theirs only as the engine had written them."""
        ours = {"id": self.order.public_id, "model": self.order.model}
        return b"data: " + orjson.dumps(chunk | {k: v for k, v in ours.items() if k in chunk})

    def _hide_cache(self, answer: dict[str, Any]) -> bool:
        return not self.engine.cache_is_private and cache_figures.take_out(answer)

    def _learn_names(self, event: bytes) -> None:
        """The engine's id and model name become ours, everywhere in the stream."""
        if theirs := sse.id_field(event):
            self._names.append((theirs, b'"id":"%b"' % self.order.public_id.encode()))
        if theirs := sse.model_field(event):
            self._names.append((theirs, b'"model":%b' % orjson.dumps(self.order.model)))

    def _renamed(self, blob: bytes) -> bytes:
        for theirs, ours in self._names:
            blob = blob.replace(theirs, ours)
        return blob

    # Whole answers -------------------------------------------------------------------------------
    def _read_answer(self, body: bytes) -> bytes:
        """Raises EngineFailed for what is no answer."""
        try:
            answer = orjson.loads(body)
            choice = answer["choices"][0]
            self.finish_reason = str(choice.get("finish_reason") or "stop")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise EngineFailed(502, "engine_failed", "the engine sent no valid answer") from None
        self._hide_cache(answer)
        self.usage = answer["usage"] if isinstance(answer.get("usage"), dict) else {}
        answer["id"], answer["model"] = self.order.public_id, self.order.model
        return orjson.dumps(answer)

    # The end --------------------------------------------------------------------------------------
    async def outcome(
        self, session: aiohttp.ClientSession, failure: EngineFailed | None
    ) -> Outcome:
        prompt, generated = await self._prompt(session, failure), self._generated(failure)
        said = self._said()
        details = self.usage.get("prompt_tokens_details")
        ttft_ms = self.since_receipt(self.first_at) if self.first_at is not None else None
        return msgspec.structs.replace(
            self.ending(failure, self.finish_reason),
            prompt_tokens=max(0, prompt - self.tokens_before),  # which went along as prompt
            completion_tokens=generated,
            cached_tokens=_count(details, "cached_tokens") or 0,
            ttft_ms=ttft_ms if self.order.stream else None,
            upstream=self.upstream,
            text=said.text,
            reasoning=said.reasoning,
            response=self.body or as_one_text(said).encode(),
        )

    async def _prompt(self, session: aiohttp.ClientSession, failure: EngineFailed | None) -> int:
        """Tokens; our own count where the engine could not say."""
        prompt = _count(self.usage, "prompt_tokens")
        if prompt is not None:
            return prompt
        began = self.first_at is not None or isinstance(failure, AnswerTooLong)
        cut = self.cancelled or failure is not None
        ran = began or self.sent_before or not cut
        return await self.engine.count_prompt(session, self.order) if ran else 0

    def _generated(self, failure: EngineFailed | None) -> int:
        generated = _count(self.usage, "completion_tokens")
        return self._counted(failure) if generated is None else generated + self.tokens_before

    def _counted(self, failure: EngineFailed | None) -> int:
        """Pieces of text: an engine sends one for each token."""
        if isinstance(failure, AnswerTooLong):  # so many at least
            return min(LONGEST_ANSWER // LARGEST_TOKEN, self.order.charge.completion_tokens)
        return sum(1 for event in self.sent_events if any(sse.said_in(event)))

    def _said(self) -> Said:
        if self.body:
            return sse.said_of(self.body)
        pieces = list(map(sse.said_in, [*self.sent_events, *self.held]))
        text = "".join(piece.text for piece in pieces)
        return Said(text, "".join(piece.reasoning for piece in pieces))

    def last_frame(self) -> Frame:
        if not self.order.stream:
            return self.frame(Kind.BODY, self.body)
        tail = [*self.held, sse.DONE]
        self.sent += len(tail)
        return self.frame(Kind.END, self._renamed(b"\n\n".join(tail) + b"\n\n"))

    def everything_sent(self) -> Frame | None:
        if not self.sent_events:
            return None
        return self.frame(Kind.EVENTS, self._renamed(b"\n\n".join(self.sent_events) + b"\n\n"))


def _count(usage: Any, name: str) -> int | None:
    """A number of tokens; None when the engine sent none, or something else."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
