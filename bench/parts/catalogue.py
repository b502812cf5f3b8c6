"""The parts of a run that have servers of their own, in the order in which they run.

A part is a module with `measure` (its arguments are the part's options, it returns a report),
`section` (the report as Markdown) and `aims`; `key_figures` where bench/history.csv has some.
It runs in a process of its own, so that Django can be set up before the module is imported.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import Aim
from bench.servers.child import REPOSITORY
from bench.servers.without_platform import django_on_own_servers

Size = dict[str, float]
MODEL = "bench"  # of the parts without a platform
ENGINES = json.dumps({MODEL: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 64}})


@dataclass(slots=True)
class Summary:
    """A report with what the page and the history have of it."""

    figures: Any
    section: str
    aims: list[Aim]
    key_figures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Part:
    """`full` and `quick` have the arguments of `measure`: how much it measures.

    `servers` are those that must run before its module is imported.
    """

    title: str
    module: str
    full: Size
    quick: Size
    servers: Callable[[], AbstractContextManager[None]] = nullcontext

    def size(self, *, quick: bool, **wanted: float | None) -> Size:
        """Its own size, changed by those arguments in `wanted` that it has."""
        size = self.quick if quick else self.full
        return {name: wanted.get(name) or number for name, number in size.items()}

    def measure(self, size: Size) -> Summary:
        with self.servers():
            summary = self.summary(self._module().measure(**size))
        if less := [
            f"{size[n]:,} {n} of {full:,}" for n, full in self.full.items() if size[n] < full
        ]:
            summary.section = (
                f"**Less than in a full run: {', '.join(less)}.**\n\n{summary.section}"
            )
        return summary

    def summary(self, report: Any) -> Summary:
        module = self._module()
        key_figures = module.key_figures(report) if hasattr(module, "key_figures") else {}
        figures = msgspec.to_builtins(report)
        return Summary(figures, module.section(report), list(module.aims(report)), key_figures)

    def _module(self) -> Any:
        return import_module(f"bench.parts.{self.module}")


def measure_apart(name: str, size: Size) -> Summary:
    """Measure a part in a process of its own. Raises CalledProcessError."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "bench.parts", name, "--summary", file.name]
        for option, number in size.items():
            command += [f"--{option}", str(number)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        return msgspec.json.decode(Path(file.name).read_bytes(), type=Summary)


def timed(rounds: int, seconds: float) -> Size:
    """The size of a part that measures rounds of slices."""
    return {"rounds": rounds, "seconds": seconds}


OWN = django_on_own_servers
PARTS = {
    "memory": Part("Memory", "memory", {"requests": 200_000}, {"requests": 10_000}),
    "start": Part("Start and idle memory", "start", {"rounds": 5}, {"rounds": 2}),
    "bodies": Part("Long prompts", "bodies.big_bodies", timed(3, 4.0), timed(1, 2.0)),
    "refusals": Part(
        "Refused bodies", "bodies.refusals", {"rounds": 15}, {"rounds": 3},
        partial(OWN, database=False),
    ),
    "admission": Part(
        "Admission", "admission", timed(5, 6.0), timed(2, 3.0),
        partial(OWN, FOREBAY_ENGINES=ENGINES),
    ),
    "floor": Part(
        "A bare program with the same promises", "floor", timed(5, 4.0), timed(1, 2.0)
    ),
    "grpc": Part("gRPC beside REST", "front_ends.grpc_unary", timed(3, 4.0), timed(1, 2.0)),
    "messages": Part(
        "Messages and Responses beside chat completions", "front_ends.messages",
        timed(3, 4.0), timed(1, 2.0),
    ),
    "decisions": Part("Decisions", "decisions", timed(5, 20.0), timed(1, 5.0)),
    "embeddings": Part("Embeddings", "embeddings", timed(7, 10.0), timed(2, 5.0)),
    "cache": Part(
        "Kept answers: a trace by Zipf's law", "cache_trace",
        {"requests": 10_000, "prompts": 5_000}, {"requests": 1_000, "prompts": 500},
    ),
    "usage": Part("Usage pages", "console.usage", {"rows": 10_000_000}, {"rows": 500_000}, OWN),
    "pages": Part("Pages", "console.pages", {"rows": 10_000_000}, {"rows": 300_000}, OWN),
    "rows": Part("Rows of a request", "rows", {"requests": 20_000}, {"requests": 1_000}, OWN),
    "wakeups": Part("Wake-ups of a request", "wakeups", {"seconds": 20.0}, {"seconds": 5.0}),
    "growth": Part(
        "Growth", "growth.cost", {"rounds": 3, "seconds": 4.0, "records": 50_000_000},
        {"rounds": 1, "seconds": 2.0, "records": 100_000},
    ),
    "responsiveness": Part(
        "Pages in a browser", "console.responsiveness", timed(20, 60.0), timed(5, 15.0)
    ),
    "audit": Part("Audit", "audit.load", timed(5, 6.0), timed(1, 3.0), OWN),
    "audit-verify": Part(
        "Verification of the audit trail", "audit.verify",
        {"events": 1_000_000}, {"events": 100_000}, OWN,
    ),
    "audit-search": Part(
        "Search in the audit trail", "audit.search", {"rows": 10_000_000}, {"rows": 500_000}, OWN
    ),
    "fairness": Part("Fair shares", "queue.fairness", timed(1, 60.0), timed(1, 20.0)),
    "dispatch": Part("Dispatch", "queue.dispatch", timed(3, 5.0), timed(1, 5.0)),
    "warm": Part(
        "Warm engines", "queue.warm",
        {"conversations": 96, "turns": 6}, {"conversations": 24, "turns": 6},
    ),
    "preemption": Part("Preemption", "queue.preemption", timed(1, 12.0), timed(1, 5.0)),
    "small-model": Part(
        "A smaller model", "small_model", {"rounds": 10, "tokens": 128}, {"rounds": 3, "tokens": 32}
    ),
    "backup": Part(
        "Backups", "backup",
        {"megabytes": 10_000, **timed(5, 6.0)}, {"megabytes": 100, **timed(1, 3.0)},
    ),
}  # fmt: skip
