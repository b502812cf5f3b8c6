"""Conversations over four engines: what of their prompts is cached, and what that saves."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import orjson

from bench.figures import Aim, cell, paragraphs, percentile, ratio, table, tell
from bench.servers.child import Child, temporary_folder
from bench.servers.forebay import Forebay, forebay_on, mock_engine
from config.supervisor.engines.embedded_engine import bundled_model
from config.supervisor.ports import find_free

ENGINES, MODEL, SEED, START_S = 4, "warm", 7, 120
JUDGED = 5  # the turn whose first token is compared
OFF, ON = "any engine", "warm engines"
VARIABLES = {OFF: {"FOREBAY_WARM_WAIT_MS": "0"}, ON: dict[str, str]()}


@dataclass(frozen=True, slots=True)
class Load:
    """`words` of the first message and of each further one, `tokens` of an answer."""

    engine: str
    slots: int
    lanes: int  # conversations at once
    words: tuple[int, int]
    tokens: int
    think_s: float


MOCK = Load("mock", 4, 24, (1500, 200), 32, 1.0)
LLAMA = Load("llama.cpp", 2, 2, (700, 40), 16, 0.5)
PREFILL_MS, INTERVAL_MS, KEEPS = 250.0, 10.0, 200  # of the mock, for 1,000 tokens, a token
METHOD = f"""\
Each conversation sends all that was said before with every turn, and waits at random between two
(mean {MOCK.think_s:g} s and {LLAMA.think_s:g} s). A pool has {ENGINES} engines: mock ones with
{MOCK.slots} slots, {MOCK.lanes} conversations at once and {PREFILL_MS:g} ms for 1,000 tokens of a
prompt that they have not cached; then the embedded llama.cpp with the bundled model, {LLAMA.slots}
slots and {LLAMA.lanes} conversations at once. *Cached*: tokens of prompts that engines had cached,
of those that the prompt before had. "{OFF}": FOREBAY_WARM_WAIT_MS=0. First tokens are means."""


@dataclass(slots=True)
class Turn:
    number: int
    first_ms: float
    prompt: int
    cached: int


@dataclass(slots=True)
class Replay:
    """`possible`: tokens of the prompts before, which one engine would have cached."""

    engine: str
    way: str
    turns: list[Turn] = field(default_factory=list)
    possible: int = 0
    bad: int = 0
    seconds: float = 0.0

    @property
    def cached(self) -> float | None:
        return ratio(sum(turn.cached for turn in self.turns if turn.number > 1), self.possible)

    def first(self, number: int) -> list[float]:
        return sorted(turn.first_ms for turn in self.turns if turn.number == number)

    def mean(self, number: int) -> float | None:
        times = self.first(number)
        return sum(times) / len(times) if times else None


@dataclass(slots=True)
class WarmReport:
    conversations: int
    turns: int
    replays: list[Replay] = field(default_factory=list)

    def of(self, engine: str, way: str) -> Replay:
        return next(one for one in self.replays if (one.engine, one.way) == (engine, way))


def measure(conversations: int, turns: int) -> WarmReport:
    report = WarmReport(conversations, turns)
    for load, count in ((MOCK, conversations), (LLAMA, max(4, conversations // 6))):
        for way, variables in VARIABLES.items():
            tell(f"{load.engine}, {way}")
            with _engines(load) as fields, forebay_on(fields, variables=variables) as forebay:
                report.replays.append(asyncio.run(_replay(forebay, load, way, count, turns)))
    return report


# Engines ------------------------------------------------------------------------------------------
@contextmanager
def _engines(load: Load) -> Iterator[dict[str, Any]]:
    """Yields FOREBAY_ENGINES."""
    with ExitStack() as stack:
        start = _mock if load is MOCK else _llama
        urls = [{"url": stack.enter_context(start())} for _ in range(ENGINES)]
        kind = "openai" if load is MOCK else "llama_cpp"
        pool = {"kind": kind, "model": MODEL, "slots": load.slots, "engines": urls}
        if load is MOCK:
            pool["private_cache"] = True  # or clients would not get the figures of its cache
        yield {MODEL: {"context_length": 32_768 if load is MOCK else 4_096, "pools": {MODEL: pool}}}


@contextmanager
def _mock() -> Iterator[str]:
    with mock_engine() as mock:
        mock.control(
            tokens=MOCK.tokens, interval_ms=INTERVAL_MS, keeps=KEEPS, prefill_ms=PREFILL_MS
        )
        yield mock.url


@contextmanager
def _llama() -> Iterator[str]:
    port, module = find_free(), "inference.engines.kinds.llama_cpp_server"
    options = [f"--model={bundled_model()}", f"--port={port}", f"--slots={LLAMA.slots}"]
    options += [f"--alias={MODEL}", "--context=4096", "--threads=1"]
    with temporary_folder() as folder:
        engine = Child([sys.executable, "-m", module, *options], Path(folder) / "engine.log")
        try:
            engine.wait_until_ready(f"http://127.0.0.1:{port}/health", START_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            engine.stop()


# Conversations -----------------------------------------------------------------------------------
async def _replay(forebay: Forebay, load: Load, way: str, count: int, turns: int) -> Replay:
    replay, begin = Replay(load.engine, way), time.perf_counter()
    waiting = iter(range(count))
    headers = {"Authorization": f"Bearer {forebay.key}"}
    connector = aiohttp.TCPConnector(limit=load.lanes)
    url = f"http://127.0.0.1:{forebay.port}/v1/chat/completions"

    async def lane() -> None:
        for number in waiting:
            await _converse(http, url, replay, load, number, turns)

    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        await asyncio.gather(*(lane() for _ in range(load.lanes)))
    replay.seconds = time.perf_counter() - begin
    return replay


async def _converse(
    http: aiohttp.ClientSession, url: str, replay: Replay, load: Load, number: int, turns: int
) -> None:
    draw, messages, before = Random(f"{SEED} {number}"), list[dict[str, str]](), 0
    for turn in range(1, turns + 1):
        await asyncio.sleep(draw.expovariate(1 / load.think_s))
        words = draw.choices(WORDS, k=load.words[turn > 1])
        messages.append({"role": "user", "content": " ".join(words)})
        try:
            text, done = await _ask(http, url, messages, load.tokens, turn)
        except (aiohttp.ClientError, KeyError):
            replay.bad += 1
            return
        replay.turns.append(done)
        replay.possible += before
        before = done.prompt
        messages.append({"role": "assistant", "content": text})


WORDS = ["river", "stone", "lamp", "window", "garden", "winter", "letter", "engine", "market"]


async def _ask(
    http: aiohttp.ClientSession, url: str, messages: list[dict[str, str]], tokens: int, turn: int
) -> tuple[str, Turn]:
    """Returns the answer, and figures. Raises ClientError, KeyError."""
    body = {
        "model": MODEL, "messages": messages, "max_tokens": tokens, "stream": True,
        "temperature": 1, "stream_options": {"include_usage": True},
    }  # fmt: skip
    began, first, text, usage = time.perf_counter(), 0.0, "", dict[str, Any]()
    async with http.post(url, json=body) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            event = orjson.loads(line[6:])
            usage = event.get("usage") or usage
            if event["choices"] and (part := event["choices"][0]["delta"].get("content")):
                first = first or time.perf_counter() - began
                text += part
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return text, Turn(turn, first * 1000, usage["prompt_tokens"], cached)


# What it shows -----------------------------------------------------------------------------------
def section(report: WarmReport) -> str:
    numbers = [number for number in range(1, report.turns + 1) if number in (1, 2, JUDGED)]
    head = ["engines", "", "cached", *(f"first token of turn {n} ms" for n in numbers)]
    rows = [
        [
            one.engine,
            one.way,
            "" if one.cached is None else f"{one.cached:.1%}",
            *(cell(one.mean(number)) for number in numbers),
            cell(percentile(one.first(JUDGED), 95)),
            f"{one.bad} of {len(one.turns) + one.bad:,}",
        ]
        for one in report.replays
    ]
    return paragraphs(METHOD, table([*head, f"p95 of turn {JUDGED}", "bad"], rows))


def aims(report: WarmReport) -> Iterator[Aim]:
    for load in (MOCK, LLAMA):
        warm, cold = report.of(load.engine, ON), report.of(load.engine, OFF)
        text = f"{load.engine}: cached tokens of those that the prompt before had"
        yield Aim(text, warm.cached, "x", 0.9, at_least=True)
        text = f"{load.engine}: first token of turn {JUDGED}, against any engine"
        yield Aim(text, ratio(warm.mean(JUDGED), cold.mean(JUDGED)), "x", 0.4)
