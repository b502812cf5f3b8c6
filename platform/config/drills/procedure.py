"""One drill: all is well, clients ask, something breaks, answers come again, all is well, compared.

What breaks and how it is undone is the installation's (installation.py); this is the same for all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.drills.attempts import Attempt, Outcome, by_door, first_after, longest_gap
from config.drills.consistency import Consistency, Mark, Recorded, compare
from config.drills.load import Load
from console.compliance.drills.kinds import Kind

WARM_ANSWERS = 5  # before anything breaks
WARM_S = 60.0
AGAIN = 3  # answers after which it works again
STEADY_S = 3.0  # the clients go on for so long after all is well
STOPPED_S = 30.0  # for so long nothing may be answered where it has to stop
HEALTHY_S = 180.0
BEGIN_S = 30.0  # a standby may leave the quorum for a moment: no drill is refused for that
DOORS_S = 120.0  # after the undoing, until each front door has answered

Say = Callable[[str], None]


class Unhealthy(Exception):
    """The installation is not as it should be, and no drill may begin or go on."""


class Installation(Protocol):
    """The cluster that drills break. A drill fails where a method raises an exception."""

    def load(self) -> Load: ...

    async def problem(self) -> str:
        """Returns what is not as it should be, "" if nothing is."""

    async def primary(self) -> str:
        """Returns the name of the server that is primary, "" while there is none."""

    async def break_(self, kind: Kind) -> str:
        """Returns what was broken, in words for the report."""

    async def undo(self, kind: Kind) -> None:
        """Undo whatever is broken. It may be called twice, and when nothing was broken."""

    async def split(self) -> str:
        """Returns "" unless more than one server takes writes."""

    async def mark(self) -> Mark:
        """Returns where the record ends."""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]: ...

    async def others(self, ids: Sequence[str], since: Mark) -> Sequence[str]:
        """Returns completed requests since the mark that are none of these."""

    async def books(self, since: Mark) -> Mapping[str, list[str]]:
        """Returns findings by what was compared: the audit chain, the ledger."""


@dataclass(slots=True)
class Result:
    kind: Kind
    began: float
    broken: str = ""
    broken_at: float = 0.0
    undone_at: float = 0.0  # 0: it could not be undone
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


async def run(result: Result, installation: Installation, say: Say) -> None:
    """Make a drill and fill in its result. Whatever was broken is undone.

    Raises Unhealthy where it cannot begin. From the break on, what goes wrong is in the result.
    """
    if problem := await _healthy(installation, BEGIN_S):
        raise Unhealthy(problem)
    mark, primary = await installation.mark(), await installation.primary()
    load = installation.load()
    async with load.running():
        await _wait(lambda: load.answers() >= WARM_ANSWERS, WARM_S, "clients get no answers")
        try:
            result.broken_at = time.time()
            await _noting(result, _broken(result, installation, load, primary, say))
        finally:
            await _noting(result, _undone(result, installation))
        if result.undone_at:
            await _noting(result, _mended(result, installation, load, say))
        await asyncio.sleep(STEADY_S)
        until = time.time()
    await _noting(result, _compared(result, installation, load, until, mark))


async def _noting(result: Result, step: Awaitable[None]) -> None:
    """Await a step. Whatever fails it is a problem of the drill, which the report must not lack."""
    try:
        await step
    except Exception as problem:
        result.problems.append(str(problem) or repr(problem))


async def _broken(
    result: Result, installation: Installation, load: Load, primary: str, say: Say
) -> None:
    result.broken = await installation.break_(result.kind)
    say(f"  broken: {result.broken}")
    if result.kind.must_stop:
        await _stays_stopped(result, installation, load)
    else:
        await _overcome(result, installation, load, primary)
    if split := await installation.split():
        result.problems.append(split)


async def _overcome(result: Result, installation: Installation, load: Load, primary: str) -> None:
    """Wait until the break has had its effect, and then for answers while it lasts."""
    kind = result.kind
    await asyncio.sleep(kind.lasts_s)
    if kind.takes_over and not await _taken_over(installation, primary, kind.bound_s):
        result.problems.append(f"no other server became primary within {kind.bound_s:g} s")
        return
    since = time.time()
    if not await _until(lambda: load.answers(since) >= AGAIN, kind.bound_s):
        result.problems.append(f"no answers within {kind.bound_s:g} s")


async def _taken_over(installation: Installation, primary: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while await installation.primary() in ("", primary):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.25)
    return True


async def _undone(result: Result, installation: Installation) -> None:
    await installation.undo(result.kind)
    result.undone_at = time.time()


async def _stays_stopped(result: Result, installation: Installation, load: Load) -> None:
    """Wait until nothing is answered, and then look that it stays so: there is no majority."""
    await asyncio.sleep(result.kind.lasts_s)
    since = time.time()
    await asyncio.sleep(STOPPED_S)
    result.stopped_s = STOPPED_S
    if answers := load.answers(since):
        result.problems.append(f"{answers} answers without a majority")


async def _mended(result: Result, installation: Installation, load: Load, say: Say) -> None:
    since = time.time()
    problem = await _healthy(installation, HEALTHY_S)
    result.healthy_s = round(time.time() - result.broken_at, 1)
    if problem:
        result.problems.append(f"after {HEALTHY_S:.0f} s: {problem}")
    if not await _until(lambda: not load.silent_doors(since), DOORS_S):
        doors = ", ".join(load.silent_doors(since))
        result.problems.append(f"no answers after the break was undone: {doors}")
    say(f"  as before after {result.healthy_s} s")


async def _healthy(installation: Installation, seconds: float) -> str:
    """Wait until nothing is wrong. Returns what still is after so many seconds, or ""."""
    deadline = time.monotonic() + seconds
    while True:
        problem = await installation.problem()
        if not problem or time.monotonic() > deadline:
            return problem
        await asyncio.sleep(1)


async def _compared(
    result: Result, installation: Installation, load: Load, until: float, mark: Mark
) -> None:
    result.rto_s = round(_rto_s(result, load, until), 2)
    if result.rto_s > result.kind.bound_s:
        result.problems.append(f"no answers for {result.rto_s} s")
    result.doors = {
        door: _figures(attempts, result.broken_at, until)
        for door, attempts in by_door(load.attempts).items()
    }
    refused = sum(each["refused"] + each["unknown"] for each in result.doors.values())
    if result.kind.none_fails and refused:
        result.problems.append(f"{refused} requests failed")
    ids = [name for attempt in load.attempts for name in attempt.ids]
    record = await installation.record(ids)
    others = await installation.others(ids, mark)
    result.consistency = compare(load.attempts, record, others)
    result.books = {name: list(lines) for name, lines in (await installation.books(mark)).items()}


def _rto_s(result: Result, load: Load, until: float) -> float:
    """Returns the longest time without an answer; where it had to stop, from the mend on."""
    if result.kind.must_stop and result.undone_at:
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
