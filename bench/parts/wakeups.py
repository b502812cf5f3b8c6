"""What a JSON request wakes: context switches, system calls, commands, messages, transactions.

Each figure is the difference between two looks at a counter, less what an idle platform does in
the same time.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Any

import redis

from bench.figures import Aim, cell, paragraphs, table, tell
from bench.servers.forebay import Forebay, forebay_on_mock_engine
from bench.servers.processes import Process, by_role
from bench.servers.targets import send

RATE = 200
LOADS: dict[str, dict[str, Any]] = {"alone": {"concurrency": 1}, f"{RATE}/s": {"rate": RATE}}
MOST_CPU_MS = {"alone": 5.0, f"{RATE}/s": 3.0}
WARMUP_S = 2.0
IDLE_S = 15.0  # with REPORTED_S less than runner.LINGER_S: heartbeats are no request's either
REPORTED_S = 11.0  # PostgreSQL's processes report their transactions up to ten seconds late
PERF = ("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p")
KINDS = ("CPU ms", "waits", "preempted", "system calls")  # of each role
WAITS, PREEMPTED = "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"  # proc(5)
Counts = dict[str, Counter[str]]  # by kind, then by role or command


@dataclass(slots=True)
class Load:
    """`counts`: those of one request, by kind, then by role or command."""

    name: str
    requests: int
    counts: dict[str, dict[str, float]]

    def sum(self, kind: str) -> float | None:
        return sum(self.counts[kind].values()) if kind in self.counts else None


@dataclass(slots=True)
class WakeupsReport:
    loads: list[Load] = field(default_factory=list)


@dataclass(slots=True)
class _Window:
    counts: Counts
    seconds: float
    requests: int


def measure(seconds: float) -> WakeupsReport:
    report = WakeupsReport()
    with forebay_on_mock_engine() as (mock, forebay):
        mock.control(tokens=64, interval_ms=0)
        _requests(forebay, WARMUP_S, rate=RATE)
        time.sleep(REPORTED_S)
        idle = _window(forebay, partial(_nothing, IDLE_S))
        for name, options in LOADS.items():
            tell(f"wakeups: {name}")
            busy = _window(forebay, partial(_requests, forebay, seconds, **options))
            report.loads.append(of_one(name, busy, idle))
    return report


def _nothing(seconds: float) -> int:
    time.sleep(seconds)
    return 0


def _requests(forebay: Forebay, seconds: float, **options: Any) -> int:
    options = {"seconds": seconds, "warmup": 0.0, "tokens": 64, **options}
    return send(forebay.target().options(**options)).all


def _window(forebay: Forebay, act: Callable[[], int]) -> _Window:
    began, before = time.monotonic(), _counts(forebay)
    with _system_calls(forebay) as calls:
        requests = act()
    now, seconds = _counts(forebay), time.monotonic() - began
    time.sleep(REPORTED_S)
    now["transactions"] = _transactions(forebay)
    counts = {kind: Counter(now[kind]) for kind in now}
    for kind, earlier in before.items():
        counts[kind].subtract(earlier)
    return _Window(counts | {"system calls": calls}, seconds, requests)


def of_one(name: str, busy: _Window, idle: _Window) -> Load:
    """Returns the counts of one request. Those of an idle platform are no request's."""
    share = busy.seconds / idle.seconds
    counts = {
        kind: {
            key: max(0.0, number - idle.counts[kind][key] * share) / busy.requests
            for key, number in sorted(numbers.items())
        }
        for kind, numbers in busy.counts.items()
    }
    return Load(name, busy.requests, counts)


# Counters ----------------------------------------------------------------------------------------
def _counts(forebay: Forebay) -> Counts:
    members = by_role(forebay.child.pid)
    switches = {name: _switches(processes) for name, processes in members.items()}
    return {
        "CPU ms": Counter({name: round(_cpu_ms(each)) for name, each in members.items()}),
        "waits": Counter({name: each[WAITS] for name, each in switches.items()}),
        "preempted": Counter({name: each[PREEMPTED] for name, each in switches.items()}),
        "transactions": _transactions(forebay),
        **_valkey(forebay),
    }


def _cpu_ms(processes: Iterable[Process]) -> float:
    return sum(process.cpu_ms for process in processes)


def _switches(processes: Iterable[Process]) -> Counter[str]:
    """Returns the context switches of all their threads."""
    total: Counter[str] = Counter()
    for process in processes:
        for status in Path("/proc").glob(f"{process.pid}/task/*/status"):
            with suppress(OSError):  # it has ended meanwhile
                total.update(switches_in(status.read_text()))
    return total


def switches_in(status: str) -> dict[str, int]:
    lines = (line.split(":") for line in status.splitlines() if "ctxt_switches" in line)
    return {name: int(number) for name, number in lines}


def _valkey(forebay: Forebay) -> Counts:
    with redis.Redis.from_url(forebay.running()["REDIS_URL"]) as client:
        commands = {
            name.removeprefix("cmdstat_"): each["calls"]
            for name, each in client.info("commandstats").items()
        }
        stats = client.info("stats")
    return {
        "commands": Counter(commands),
        "messages": Counter(
            {
                "to Valkey": stats["total_reads_processed"],
                "from Valkey": stats["total_writes_processed"],
            }
        ),
    }


def _transactions(forebay: Forebay) -> Counter[str]:
    ((number,),) = forebay.rows("select sum(xact_commit)::bigint from pg_stat_database")
    return Counter({"postgres": number})


@contextmanager
def _system_calls(forebay: Forebay) -> Iterator[Counter[str]]:
    """Yields counts that are there once the block has ended, by role; none without perf."""
    calls: Counter[str] = Counter()
    programs: dict[str, subprocess.Popen[str]] = {}
    for name, processes in by_role(forebay.child.pid).items():
        pids = ",".join(str(one.pid) for one in processes)
        with suppress(FileNotFoundError):
            programs[name] = subprocess.Popen([*PERF, pids], stderr=subprocess.PIPE, text=True)
    try:
        yield calls
    finally:
        for name, program in programs.items():
            program.send_signal(SIGINT)
            if (number := calls_in(program.communicate()[1])) is not None:
                calls[name] = number


def calls_in(output: str) -> int | None:
    """Returns the number in perf's line; None where it may not count."""
    number = output.partition(",")[0].strip()
    return int(number) if number.isdigit() else None


# The section -------------------------------------------------------------------------------------
def section(report: WakeupsReport) -> str:
    return paragraphs(*(text for load in report.loads for text in _texts(load)))


def _texts(load: Load) -> Iterator[str]:
    roles = sorted(load.counts["CPU ms"])
    rows = ([name, *(cell(load.counts[kind].get(name)) for kind in KINDS)] for name in roles)
    together = ["together", *(cell(load.sum(kind)) for kind in KINDS)]
    yield f"{load.name}, {load.requests:,} requests. Of each:"
    yield table(("", *KINDS), [*rows, together])
    yield (
        f"{cell(load.sum('transactions'))} transactions of PostgreSQL; "
        + "; ".join(f"{cell(number)} messages {way}" for way, number in _messages(load))
        + f"; {cell(load.sum('commands'))} commands of Valkey, those of scripts included: "
        + ", ".join(f"{name} {cell(number)}" for name, number in _commands(load))
        + "."
    )


def _messages(load: Load) -> Iterable[tuple[str, float]]:
    return load.counts["messages"].items()


def _commands(load: Load) -> list[tuple[str, float]]:
    often = [(name, number) for name, number in load.counts["commands"].items() if number >= 0.1]
    return sorted(often, key=lambda pair: -pair[1])


def aims(report: WakeupsReport) -> Iterator[Aim]:
    for load in report.loads:
        yield Aim(
            f"CPU of a JSON request, {load.name}", load.sum("CPU ms"), "ms", MOST_CPU_MS[load.name]
        )
