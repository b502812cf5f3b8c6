"""The time of the event loop that a body takes until it is refused, plain and compressed."""

import gc
import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from bench.figures import Aim, cell, median, paragraphs, table, tell
from bench.parts.bodies.hostile_bodies import COUNTED, LARGEST, read_chats, tokens
from inference.api.http.request import unpacked
from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.errors import BadRequest
from inference.validation import requests
from inference.validation.requests import Form, checked

LIMIT_MS = 50.0
METHOD = f"""\
Processor time of one thread, the median over the rounds, for bodies of up to {LARGEST:,} bytes
(bench/parts/bodies/hostile_bodies.py): parsed and checked as a web process does it on its event
loop, for a model with a context of a million tokens, so that none is refused by its length.
"Compressed" has the unpacking in it."""
ENGINE = OpenAIEngine(
    EngineConfig("smol", "openai", "http://127.0.0.1:9/v1", "smol", context_length=1_000_000)
)


@dataclass(slots=True)
class Refusal:
    """Milliseconds of each round, for the body as it is, and compressed."""

    name: str
    length: int
    packed_length: int
    plain_ms: list[float] = field(default_factory=list)
    packed_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class RefusalsReport:
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def slowest_ms(self) -> float | None:
        times = [median(each.packed_ms) for each in self.refusals]
        return max((one for one in times if one is not None), default=None)


def measure(rounds: int) -> RefusalsReport:
    report = RefusalsReport()
    gc.collect()
    gc.freeze()  # or each collection below would look at everything that was there before
    try:
        report.refusals.extend(_measured(rounds))
    finally:
        gc.unfreeze()
    return report


def _measured(rounds: int) -> Iterator[Refusal]:
    for name, raw, form in bodies():
        tell(f"refusals: {name}")
        packed = gzip.compress(raw)
        refusal = Refusal(name, len(raw), len(packed))
        for _ in range(rounds):
            refusal.plain_ms.append(_milliseconds(partial(_refuse, raw, form)))
            refusal.packed_ms.append(_milliseconds(partial(_unpack_and_refuse, packed, form)))
        yield refusal


def bodies() -> Iterator[tuple[str, bytes, Form]]:
    for name, raw in (*COUNTED.items(), *read_chats()):
        yield name, raw, Form.CHAT
    yield "tokens", tokens(), Form.TEXT


def _milliseconds(work: Callable[[], None]) -> float:
    gc.collect()
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


def _refuse(raw: bytes, form: Form) -> None:
    with suppress(BadRequest):
        checked(requests.parsed(raw), len(raw), form, ENGINE)
        raise AssertionError(f"it was taken: {raw[:80]!r}")


def _unpack_and_refuse(packed: bytes, form: Form) -> None:
    _refuse(unpacked(packed, "gzip", LARGEST), form)


def section(report: RefusalsReport) -> str:
    head = ("body", "bytes", "ms", "compressed bytes", "ms, compressed")
    rows = [
        (
            each.name,
            f"{each.length:,}",
            cell(median(each.plain_ms)),
            f"{each.packed_length:,}",
            cell(median(each.packed_ms)),
        )
        for each in report.refusals
    ]
    return paragraphs(table(head, rows), METHOD)


def aims(report: RefusalsReport) -> Iterator[Aim]:
    yield Aim("the slowest refusal of a body of 4 MiB", report.slowest_ms, "ms", LIMIT_MS)
