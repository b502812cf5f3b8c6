"""Decisions through Forebay beside their engine alone, at a fixed rate, in turns."""

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from bench.figures import Aim, cell, difference, median, paragraphs, percentile, table, tell
from bench.servers import decisions
from bench.servers.child import Child, temporary_folder
from bench.servers.forebay import Forebay, forebay_on, mock_engine
from config.supervisor.engines.embedded_engine import bundled_model
from config.supervisor.ports import find_free

TENANT, MODEL, START_S = "shop", "scoring", 120
AIM_MS = 15.0  # of the 99th percentile above the engine's own
DELAY_MS, SLOTS, KNOWN = 20, 64, 200  # of the mock; people who pay again and again


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second to one engine."""

    engine: str
    per_second: float


MOCK, LLAMA = Rate("mock", 50.0), Rate("llama.cpp", 2.0)
ALONE, AGAIN, ONCE, NEW = "engine alone", "known people", "known people, keyed", "new people"
WAYS = (ALONE, AGAIN, ONCE, NEW)
METHOD = f"""\
`POST /v1/decisions` at a fixed rate, whatever the answers take; times are from when a request was
due. The engine alone gets the same prompt as a chat with log-probabilities. *{AGAIN}*: {KNOWN} in
turns, after a first decision about each; *keyed*: with an `Idempotency-Key` of its own each;
*{NEW}*: nobody was seen before, so each decision makes a person and a key. The mock answers after
{DELAY_MS} ms with a score that depends on the prompt: 3 of 100 payments go to review, and are
explained. llama.cpp is the embedded one with the bundled model. Medians of rounds, in ms."""


@dataclass(slots=True)
class Line:
    """Times of all answers of one way, by round, in ms."""

    engine: str
    way: str
    rounds: list[list[float]] = field(default_factory=list)
    fallbacks: int = 0
    bad: int = 0

    def at(self, percent: float) -> float | None:
        return median(percentile(sorted(times), percent) for times in self.rounds)


@dataclass(slots=True)
class DecisionsReport:
    seconds: float
    lines: list[Line] = field(default_factory=list)

    def of(self, engine: str, way: str) -> Line:
        return next(each for each in self.lines if (each.engine, each.way) == (engine, way))


def measure(rounds: int, seconds: float) -> DecisionsReport:
    report = DecisionsReport(seconds)
    for rate, start in ((MOCK, _mock), (LLAMA, _llama)):
        with start() as (url, fields), forebay_on({MODEL: fields}) as forebay:
            key = forebay.key_of(TENANT)
            decisions.install(forebay, TENANT, MODEL)
            report.lines += asyncio.run(_measured(forebay, key, url, rate, rounds, seconds))
    return report


# Engines ------------------------------------------------------------------------------------------
@contextmanager
def _mock() -> Iterator[tuple[str, dict[str, Any]]]:
    with mock_engine() as mock:
        mock.control(tokens=1, delay_ms=DELAY_MS)
        yield mock.url, {"kind": "openai", "url": mock.url, "slots": SLOTS}


@contextmanager
def _llama() -> Iterator[tuple[str, dict[str, Any]]]:
    port, module = find_free(), "inference.engines.kinds.llama_cpp_server"
    options = [f"--model={bundled_model()}", f"--port={port}", "--slots=4"]
    options += [f"--alias={MODEL}", "--context=4096", "--threads=1"]
    with temporary_folder() as folder:
        engine = Child([sys.executable, "-m", module, *options], Path(folder) / "engine.log")
        url = f"http://127.0.0.1:{port}"
        try:
            engine.wait_until_ready(f"{url}/health", START_S)
            yield f"{url}/v1", {"kind": "llama_cpp", "url": url, "slots": 4, "model": MODEL}
        finally:
            engine.stop()


# Load ---------------------------------------------------------------------------------------------
async def _measured(
    forebay: Forebay, key: str, engine_url: str, rate: Rate, rounds: int, seconds: float
) -> list[Line]:
    lines = {way: Line(rate.engine, way) for way in WAYS}
    numbers = count()
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        urls = dict.fromkeys(WAYS, f"http://127.0.0.1:{forebay.port}/v1/decisions")
        urls[ALONE] = f"{engine_url}/chat/completions"
        for number in range(KNOWN if rate is MOCK else 8):
            await _ask(http, urls[AGAIN], _body(AGAIN, number), {}, Line("", ""))
        for turn in range(rounds):
            tell(f"{rate.engine}, round {turn + 1}/{rounds}")
            for way, line in lines.items():
                line.rounds.append(await _paced(http, urls[way], line, numbers, rate, seconds))
    return list(lines.values())


async def _paced(
    http: aiohttp.ClientSession,
    url: str,
    line: Line,
    numbers: "count[int]",
    rate: Rate,
    seconds: float,
) -> list[float]:
    begin, asking = time.perf_counter(), list[asyncio.Task[float | None]]()
    for n in range(round(seconds * rate.per_second)):
        due, number = begin + n / rate.per_second, next(numbers)
        await asyncio.sleep(due - time.perf_counter())
        headers = {"Idempotency-Key": f"tx-{number}"} if line.way == ONCE else {}
        body = _body(line.way, number)
        asking.append(asyncio.create_task(_ask(http, url, body, headers, line, due)))
    return [ms for ms in await asyncio.gather(*asking) if ms is not None]


async def _ask(
    http: aiohttp.ClientSession,
    url: str,
    body: dict[str, Any],
    headers: Mapping[str, str],
    line: Line,
    due: float = 0.0,
) -> float | None:
    """Returns the milliseconds since it was due; None if it failed."""
    try:
        async with http.post(url, json=body, headers=headers) as answer:
            answer.raise_for_status()
            whole = await answer.json()
    except aiohttp.ClientError:
        line.bad += 1
        return None
    line.fallbacks += bool(whole.get("fallback"))
    return round((time.perf_counter() - due) * 1000, 2)


def _body(way: str, number: int) -> dict[str, Any]:
    payment = {"amount": number, "merchant": f"Shop {number % 97}", "abroad": number % 2 == 0}
    if way == ALONE:
        prompt = decisions.SPEC["template"]
        for name, value in payment.items():
            prompt = prompt.replace(f"{{{{{name}}}}}", str(value))
        messages = [{"role": "user", "content": prompt}]
        head = {"model": MODEL, "messages": messages, "max_tokens": 1, "temperature": 0}
        return {**head, "logprobs": True, "top_logprobs": 20}
    person = f"new-{number}" if way == NEW else f"customer-{number % KNOWN}"
    return {"policy": decisions.POLICY, "person": person, "input": payment}


# The report ---------------------------------------------------------------------------------------
def section(report: DecisionsReport) -> str:
    head = ("engine", "", "p50", "p99", "p99 above the engine's", "fallbacks", "failed", "of")
    rounds = len(report.lines[0].rounds)
    what = (
        f"Rounds: {rounds} of {report.seconds:g} s each; {MOCK.per_second:g} a second to the mock, "
    )
    what += f"{LLAMA.per_second:g} to llama.cpp."
    return paragraphs(METHOD, table(head, [_row(report, line) for line in report.lines]), what)


def _row(report: DecisionsReport, line: Line) -> list[str]:
    above = _above(report, line) if line.way != ALONE else None
    figures = [cell(line.at(50)), cell(line.at(99)), cell(above)]
    counts = [line.fallbacks, line.bad, sum(map(len, line.rounds)) + line.bad]
    return [line.engine, line.way, *figures, *map(str, counts)]


def _above(report: DecisionsReport, line: Line) -> float | None:
    return difference(line.at(99), report.of(line.engine, ALONE).at(99))


def aims(report: DecisionsReport) -> Iterator[Aim]:
    for way in (AGAIN, ONCE, NEW):
        text = f"decisions, {MOCK.per_second:g}/s, {way}: p99 above the engine's own"
        yield Aim(text, _above(report, report.of(MOCK.engine, way)), "ms", AIM_MS)
