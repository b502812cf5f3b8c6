"""One keep-alive connection of the load generator: sends a request, reads and checks the answer."""

import asyncio
import random
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import httptools

# Not JSON-parsed: the generator shares the cores with what it measures.
TOKEN = re.compile(rb'"(?:content|text)":\s*"[^"]')
COUNTED = re.compile(rb'"completion_tokens":\s*(\d+)')
ERROR = re.compile(rb'"error"\s*:')  # the name, not a word that an answer contains
DONE = b"data: [DONE]"
HANG_UP_S = (0.001, 0.04)  # from the request on: before its answer begins, or in mid-stream
STALE = "the connection had been closed before"


@dataclass(slots=True)
class Outcome:
    """One request's outcome; times are perf_counter seconds, `wrong` is empty when it went well."""

    started: float
    first_token: float = 0.0
    ended: float = 0.0
    tokens: int = 0
    wrong: str = ""
    hung_up: bool = False
    gaps: "array[float]" = field(default_factory=lambda: array("d"))


class LoadClient(asyncio.Protocol):
    """Calls `on_end(self, outcome)` once per request sent. `tokens`: what a right answer has."""

    counts = COUNTED  # the tokens of an answer, in its usage
    token, error = TOKEN, ERROR  # a token of a stream, and an error in it
    last_event = DONE

    def __init__(
        self, stream: bool, tokens: int | None, on_end: Callable[["LoadClient", Outcome], None]
    ) -> None:
        self.stream, self.tokens, self.on_end = stream, tokens, on_end
        self.transport: asyncio.Transport | None = None
        self.outcome: Outcome | None = None
        self.answered = 0
        self._reset()

    def _reset(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.rest = b""
        self.counted: int | None = None
        self.done = False
        self.status = 0
        self.last_read = 0.0
        self.now = 0.0
        self.silent = True

    def usable(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def send(self, request: bytes, started: float) -> None:
        assert self.transport is not None
        assert self.outcome is None
        self._reset()
        self.outcome = Outcome(started)
        self.transport.write(request)

    def hang_up_later(self) -> None:
        """Close the connection in the middle of the request that has just been sent."""
        outcome = self.outcome
        after = random.uniform(*HANG_UP_S)
        asyncio.get_running_loop().call_later(after, lambda: self.hang_up(outcome))

    def hang_up(self, outcome: Outcome | None) -> None:
        """Close the connection, unless the request has ended meanwhile."""
        if outcome and outcome is self.outcome and self.transport:
            outcome.hung_up = True
            self.transport.abort()

    def close(self) -> None:
        if self.transport:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        stale = self.answered and self.silent
        self.finish(STALE if stale else "connection closed in mid-answer")

    def data_received(self, data: bytes) -> None:
        self.now = perf_counter()
        self.silent = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as broken:
            self.finish(f"not HTTP: {broken}")

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.stream or self.status != 200:
            self.rest += body
            return
        body = self.rest + body
        cut = body.rfind(b"\n") + 1
        self.rest = body[cut:]
        self._read_events(body[:cut])

    def _read_events(self, lines: bytes) -> None:
        outcome = self.outcome
        if outcome is None:
            return
        tokens = len(self.token.findall(lines))
        if tokens:
            if outcome.tokens:
                outcome.gaps.append(self.now - self.last_read)
            else:
                outcome.first_token = self.now
            self.last_read = self.now
            outcome.tokens += tokens
        if b'"usage"' in lines and (counted := self.counts.findall(lines)):
            self.counted = int(counted[-1])
        if self.error.search(lines):
            outcome.wrong = "error frame: " + lines[:200].decode(errors="replace")
        if self.last_event in lines:
            self.done = True

    def on_message_complete(self) -> None:
        self.answered += 1
        self.finish(self._what_is_wrong())

    def _what_is_wrong(self) -> str:
        outcome = self.outcome
        if outcome is None:
            return ""
        if self.status != 200:
            return f"status {self.status}: " + self.rest[:200].decode(errors="replace")
        if self.stream and not self.done:
            return "no last event"
        if not self.stream and (counted := self.counts.search(self.rest)):
            outcome.tokens = int(counted[1])
        if self.tokens is None:
            # A real engine decides on the length itself, and may merge tokens into one event.
            outcome.tokens = self.counted or outcome.tokens
        elif outcome.tokens != self.tokens or self.counted not in (None, self.tokens):
            return f"{outcome.tokens} tokens, usage {self.counted}, not {self.tokens}"
        return ""

    def finish(self, wrong: str) -> None:
        outcome, self.outcome = self.outcome, None
        if outcome is None:
            return
        outcome.ended = self.now = perf_counter()
        outcome.wrong = outcome.wrong or wrong
        self.on_end(self, outcome)
