"""A fast OpenAI-compatible engine that only pretends to think.

    python -m bench.mock_engine --port 9000 [--tokens 64] [--interval-ms 2] [--delay-ms 0]

It shows a platform's own ceiling, so it must cost little: one asyncio protocol on uvloop. Tests
stage failures with `POST /control {"tokens", "interval_ms", "delay_ms", "fail", "reasoning"}` (all
settings: Behaviour);
`GET /control` tells the settings and counters, `GET /control/last` the body of the latest request,
`GET /control/delays` how many ms each stamped request (bench/load/stamps.py) took to arrive.
"""

import argparse
import asyncio
import signal
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

import httptools
import msgspec
import orjson
import uvloop

from bench.load.stamps import ms_since
from bench.mock_engine import answers
from bench.mock_engine.prompt_cache import PromptCache

Fail = Literal[
    "http_500",
    "http_429",
    "redirect",
    "garbage",
    "never",
    "wrong_usage",
    "drop_mid_stream",
    "chat_only",  # it has no path for texts
]


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """The engine's answers from the next request on; times in milliseconds."""

    tokens: int = 64
    interval_ms: float = 2.0
    delay_ms: float = 0.0
    fail: Fail | None = None
    reasoning: answers.Reasoning | None = None  # the first half of an answer's tokens, and how
    stamped: bool = False  # requests say when they were sent
    keeps: int = 0  # prompts in its prefix cache; 0: it has none
    prefill_ms: float = 0.0  # for 1,000 tokens of a prompt that are not cached

    def changed(self, wanted: dict[str, Any]) -> "Behaviour":
        """Raises ValueError for a setting that does not exist."""
        return msgspec.convert(msgspec.structs.asdict(self) | wanted, Behaviour)


@dataclass(slots=True)
class Counters:
    requests: int = 0
    running: int = 0
    peak: int = 0  # the most that ran at once since the last change of behaviour
    aborted: int = 0


@dataclass(slots=True)
class Engine:
    """The state that all connections share."""

    behaviour: Behaviour
    models: list[str]
    counters: Counters = field(default_factory=Counters)
    last_body: bytes = b"null"
    delays: list[float] = field(default_factory=list)  # of requests with a stamp, in ms
    prompts: PromptCache = field(default_factory=PromptCache)


class EngineProtocol(asyncio.Protocol):
    """One client connection; one request at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport
        self.url = b""
        self.body = bytearray()
        self.running: Generation | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.running is not None:
            self.running.cancel()
            self.ended()
            self.engine.counters.aborted += 1

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self.url, self.body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.running is not None:
            self.transport.abort()
            return
        method = self.parser.get_method()
        try:
            if method == b"POST" and self.url == b"/v1/chat/completions":
                self.generate(chat=True)
            elif (
                method == b"POST"
                and self.url == b"/v1/completions"
                and self.engine.behaviour.fail != "chat_only"
            ):
                self.generate(chat=False)
            else:
                self.transport.write(self.other(method))
        except ValueError as wrong:
            self.transport.write(answers.error(400, str(wrong)))

    def other(self, method: bytes) -> bytes:
        engine = self.engine
        if method == b"POST" and self.url == b"/control":
            engine.behaviour = engine.behaviour.changed(orjson.loads(self.body))
            engine.counters.peak = engine.counters.running
        elif method != b"GET":
            return answers.error(404, "not found")
        match self.url:
            case b"/control":
                settings = msgspec.structs.asdict(engine.behaviour)
                body = orjson.dumps(settings | asdict(engine.counters))
            case b"/control/last":
                body = engine.last_body
            case b"/control/delays":
                body, engine.delays = orjson.dumps(engine.delays), []
            case b"/v1/models":
                models = [{"id": m, "object": "model", "created": 0} for m in engine.models]
                body = orjson.dumps({"object": "list", "data": models})
            case b"/health":
                body = b"{}"
            case _:
                return answers.error(404, "not found")
        return answers.response(200, body)

    def generate(self, chat: bool) -> None:
        engine = self.engine
        engine.last_body = body = bytes(self.body)
        ask = answers.read_ask(body, chat)
        if engine.behaviour.stamped and (delay := ms_since(body)) is not None:
            engine.delays.append(delay)
        if engine.behaviour.keeps and chat:
            ask.prompt, ask.cached = engine.prompts.take(body, engine.behaviour.keeps)
        engine.counters.requests += 1
        if failure := answers.FAILURES.get(engine.behaviour.fail or ""):
            self.transport.write(failure)
            return
        engine.counters.running += 1
        engine.counters.peak = max(engine.counters.peak, engine.counters.running)
        self.running = Generation(self, ask, engine.counters.requests)
        self.running.begin()

    def ended(self) -> None:
        self.running = None
        self.engine.counters.running -= 1


class Generation:
    """One answer under way: writes each token at its own time, without drift."""

    def __init__(self, connection: EngineProtocol, ask: answers.Ask, number: int) -> None:
        behaviour = connection.engine.behaviour
        self.connection = connection
        self.ask = ask
        self.number = number
        rest = max(1, behaviour.tokens - ask.begun)
        limit = rest if ask.max_tokens is None else ask.max_tokens
        self.tokens = min(rest, limit)
        self.finish = "length" if limit < rest else "stop"
        self.stop_at = self.tokens // 2 if behaviour.fail == "drop_mid_stream" else None
        self.interval = behaviour.interval_ms / 1000
        self.sent = 0
        self.due = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        behaviour = self.connection.engine.behaviour
        if behaviour.fail == "never":
            return
        new_tokens = self.ask.prompt - self.ask.cached
        delay = (behaviour.delay_ms + behaviour.prefill_ms * new_tokens / 1000) / 1000
        first = self.open_stream if self.ask.stream else self.answer
        if delay:
            self.timer = self.connection.loop.call_later(delay, first)
        else:
            first()

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def answer(self) -> None:
        data = answers.json_answer(self.ask, self.number, self.tokens, self.finish)
        if self.connection.engine.behaviour.fail == "wrong_usage":
            data = answers.with_wrong_usage(data)
        connection = self.connection
        if self.stop_at is not None:
            connection.transport.write(data[: len(data) // 2])
            connection.transport.close()
            return
        connection.ended()
        connection.transport.write(data)

    def open_stream(self) -> None:
        how = self.connection.engine.behaviour.reasoning
        thoughts = self.tokens // 2 if how else 0
        self.pieces = answers.StreamPieces(self.ask, self.number, how, thoughts)
        self.connection.transport.write(answers.STREAM_HEAD)
        if not self.interval:
            self.write_all()
            return
        self.due = self.connection.loop.time()
        self.wait()

    def wait(self) -> None:
        self.due += self.interval
        self.timer = self.connection.loop.call_at(self.due, self.write_token)

    def write_token(self) -> None:
        transport = self.connection.transport
        if self.sent == self.stop_at:
            transport.close()
            return
        data = self.pieces.token(self.sent)
        # Like vLLM, the role goes out together with the first token.
        transport.write(data if self.sent else self.pieces.role() + data)
        self.sent += 1
        if self.sent < self.tokens:
            self.wait()
        else:
            self.write_end()

    def write_all(self) -> None:
        """Write the whole stream at once, since it has no interval."""
        until = self.tokens if self.stop_at is None else self.stop_at
        tokens = b"".join(map(self.pieces.token, range(until)))
        self.connection.transport.write(self.pieces.role() + tokens)
        if self.stop_at is None:
            self.write_end()
        else:
            self.connection.transport.close()

    def write_end(self) -> None:
        data = self.pieces.finish(self.finish)
        if self.ask.include_usage:
            data += self.pieces.usage(self.tokens)
        connection = self.connection
        connection.ended()
        connection.transport.write(data + answers.framed(answers.DONE) + answers.STREAM_END)


async def serve(host: str, port: int, engine: Engine) -> None:
    """Serves until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: EngineProtocol(engine), host, port, backlog=1024)
    try:
        await stop.wait()
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mock_engine")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", type=int, default=64, help="length of an answer")
    parser.add_argument("--interval-ms", type=float, default=2.0, help="between two tokens")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before the answer begins")
    parser.add_argument("--model", action="append", help="a name for /v1/models (any is served)")
    parser.add_argument("--fail", choices=get_args(Fail), default=None)
    options = parser.parse_args()
    behaviour = Behaviour(options.tokens, options.interval_ms, options.delay_ms, options.fail)
    engine = Engine(behaviour, options.model or ["mock"])
    uvloop.run(serve(options.host, options.port, engine))
