"""One drill: all is well, clients ask, something breaks, answers come again, all is well, compared.

What breaks and how it is undone is the installation's (installation.py); this is the same for all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.drills.attempts import Attempt, Outcome, by_door, first_after, longest_gap
from config.drills.consistency import Consistency, Recorded, compare
from config.drills.load import Load
from console.compliance.drills.kinds import Kind

WARM_ANSWERS = 5  # before anything breaks
WARM_S = 60.0
AGAIN = 3  # answers after which it works again: those under way may still come before it does not
STEADY_S = 3.0  # the clients go on for so long after all is well
STOPPED_S = 30.0  # for so long nothing may be answered where it has to stop
HEALTHY_S = 180.0
SETTLE_S = 90.0


class Unhealthy(Exception):
    """The installation is not as it should be, and no drill may begin or go on."""


class Installation(Protocol):
    """What drills break. Every method may raise Unhealthy."""

    def load(self) -> Load: ...

    async def problem(self) -> str:
        """Returns what is not as it should be, "" if nothing is."""

    async def break_(self, kind: Kind) -> str:
        """Returns what was broken, in words for the report."""

    async def undo(self, kind: Kind) -> None:
        """Undo whatever is broken. It may be called twice, and when nothing was broken."""

    async def split(self) -> str:
        """Returns "" unless more than one server takes writes."""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]: ...

    async def books(self) -> Mapping[str, list[str]]:
        """Returns findings by what was compared: the audit chain, the ledger."""


@dataclass(slots=True)
class Result:
    kind: Kind
    began: float
    broken: str = ""
    broken_at: float = 0.0
    undone_at: float = 0.0
    rto_s: float = 0.0
    healthy_s: float = 0.0  # from the break until all is as before
    stopped_s: float = 0.0  # where it has to stop: for how long nothing was answered
    doors: dict[str, dict[str, Any]] = field(default_factory=dict)
    consistency: Consistency = field(default_factory=Consistency)
    books: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.consistency.is_exact and not self.problems and not any(self.books.values())


async def run(kind: Kind, installation: Installation, say: Callable[[str], None]) -> Result:
    """Raises Unhealthy where the drill cannot begin. Whatever was broken is undone."""
    if problem := await installation.problem():
        raise Unhealthy(problem)
    result, load = Result(kind, time.time()), installation.load()
    async with load.running():
        await _wait(lambda: load.answers() >= WARM_ANSWERS, WARM_S, "clients get no answers")
        try:
            await _broken(result, installation, load, say)
        finally:
            await installation.undo(kind)
            result.undone_at = time.time()
        await _mended(result, installation, load, say)
        await asyncio.sleep(STEADY_S)
        until = time.time()
    await _compared(result, installation, load, until)
    return result


async def _broken(
    result: Result, installation: Installation, load: Load, say: Callable[[str], None]
) -> None:
    result.broken_at = time.time()
    result.broken = await installation.break_(result.kind)
    say(f"  broken: {result.broken}")
    if result.kind.must_stop:
        await _stays_stopped(result, installation, load)
    elif not await _answers_again(result, load):
        result.problems.append(f"no answers within {result.kind.bound_s} s")
    if split := await installation.split():
        result.problems.append(split)


async def _answers_again(result: Result, load: Load) -> bool:
    """Wait as long as the break lasts at least, then for answers. Returns whether they came."""
    await asyncio.sleep(result.kind.lasts_s)
    since = time.time() if result.kind.lasts_s else result.broken_at
    return await _until(lambda: load.answers(since) >= AGAIN, result.kind.bound_s)


async def _stays_stopped(result: Result, installation: Installation, load: Load) -> None:
    """Wait until nothing is answered, and then look that it stays so: there is no majority."""
    await asyncio.sleep(result.kind.lasts_s)
    since = time.time()
    await asyncio.sleep(STOPPED_S)
    result.stopped_s = STOPPED_S
    if answers := load.answers(since):
        result.problems.append(f"{answers} answers without a majority")


async def _mended(
    result: Result, installation: Installation, load: Load, say: Callable[[str], None]
) -> None:
    since = time.time()
    problem = await _healthy(installation)
    result.healthy_s = round(time.time() - result.broken_at, 1)
    if problem:
        result.problems.append(f"after {HEALTHY_S:.0f} s: {problem}")
    if not await _until(lambda: load.answers(since) >= AGAIN, result.kind.bound_s):
        result.problems.append("no answers after the break was undone")
    say(f"  as before after {result.healthy_s} s")


async def _healthy(installation: Installation) -> str:
    deadline = time.monotonic() + HEALTHY_S
    while True:
        problem = await installation.problem()
        if not problem or time.monotonic() > deadline:
            return problem
        await asyncio.sleep(1)


async def _compared(result: Result, installation: Installation, load: Load, until: float) -> None:
    ids = [name for attempt in load.attempts for name in attempt.ids]
    result.consistency = compare(load.attempts, await installation.record(ids))
    result.rto_s = round(_rto_s(result, load, until), 2)
    if result.rto_s > result.kind.bound_s:
        result.problems.append(f"no answers for {result.rto_s} s")
    result.doors = {
        door: _figures(attempts, result.broken_at, until)
        for door, attempts in by_door(load.attempts).items()
    }
    result.books = {name: list(lines) for name, lines in (await installation.books()).items()}
    refused = sum(each["refused"] + each["unknown"] for each in result.doors.values())
    if result.kind.none_fails and refused:
        result.problems.append(f"{refused} requests failed")


def _rto_s(result: Result, load: Load, until: float) -> float:
    """Returns the longest time without an answer; where it had to stop, from the mend on."""
    if result.kind.must_stop:
        return first_after(load.attempts, result.undone_at, until)
    return longest_gap(load.attempts, result.broken_at, until)


def _figures(attempts: Sequence[Attempt], broken_at: float, until: float) -> dict[str, Any]:
    counts = {
        outcome.value: sum(1 for each in attempts if each.outcome is outcome) for outcome in Outcome
    }
    failures = [each.detail for each in attempts if each.outcome is not Outcome.ANSWERED]
    return {
        **counts,
        "gap_s": round(longest_gap(attempts, broken_at, until), 2),
        "failures": sorted(set(failures))[:3],
    }


async def _wait(condition: Callable[[], bool], seconds: float, problem: str) -> None:
    if not await _until(condition, seconds):
        raise Unhealthy(problem)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
