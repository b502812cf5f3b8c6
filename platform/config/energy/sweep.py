"""`forebay energy sweep ENGINE`: measures an engine at each clock, to find where it takes least.

It changes clocks, so it runs only with --change-clocks, through the energy agent and within its
bounds, and only on an engine that takes no requests. docs/operations/energy.md has the method.
"""

import argparse
import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from redis import RedisError

from audit.actions import Action
from config.energy import sweep_file
from config.energy.client import AgentClient, AgentError
from config.energy.governor import record
from config.energy.measuring import Load, NothingMeasured, measure
from config.energy.sweep_file import Sweep
from inference.energy.clock_choice import Point, loads
from inference.engines import engines, pools
from inference.engines.base import Engine, EngineFailed
from inference.queue.occupancy import occupancy
from inference.registry.following import load_once
from infrastructure.gpu_driver import Driver, GpuError
from infrastructure.own_addresses import is_here

RENEW_S = 1.0
_FAILURES = (
    AgentError,
    EngineFailed,
    GpuError,
    NothingMeasured,
    OSError,
    RedisError,
    DatabaseError,
)


class NotNow(Exception):
    """Why nothing is measured."""


def main() -> int:
    options = _parser().parse_args()
    try:
        load_once()
        engine = _engine(options.engine)
        clocks = _spread(Driver().clocks(str(engine.config.gpus[0])), options.clocks)
        plan = [(requests, mhz) for requests in loads(engine.config.slots) for mhz in clocks]
        _tell(engine, plan, options.seconds)
        if not options.change_clocks:
            raise NotNow("nothing was changed: say --change-clocks to measure")
        for each in _sharers(engine):
            _require_idle(each, workers_are_stopped=options.workers_are_stopped)
        sweep = Sweeping(engine, AgentClient(Path(settings.ENERGY_AGENT)), options).run(plan)
        print(f"wrote {sweep_file.write(settings.FOREBAY_HOME, sweep)}; restart the governor")
    except (NotNow, ValueError, *_FAILURES) as problem:
        print(f"forebay energy sweep: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay energy sweep", description=__doc__)
    parser.add_argument("engine", metavar="ENGINE")
    parser.add_argument("--change-clocks", action="store_true", help="measure, at each clock")
    parser.add_argument(
        "--workers-are-stopped",
        action="store_true",
        help="those of an engine of FOREBAY_ENGINES, which cannot be drained",
    )
    parser.add_argument("--seconds", type=float, default=30, help="for each measurement")
    parser.add_argument("--clocks", type=int, default=8, help="how many, spread evenly")
    parser.add_argument("--prompt-tokens", type=int, default=500)
    parser.add_argument("--answer-tokens", type=int, default=200)
    return parser


def _engine(name: str) -> Engine:
    engine = next((each for each in engines() if each.config.id == name), None)
    if engine is None:
        raise NotNow(f"there is no engine {name!r}")
    if not engine.config.gpus:
        raise NotNow(f"the entry of {name!r} names no gpus")
    if not is_here(engine.config.url):
        raise NotNow(f"the server of {name!r} is not on this host")
    return engine


def _spread(clocks: Sequence[int], count: int) -> list[int]:
    """Returns `count` of the clocks, the highest first, with even distances."""
    if count < 2 or len(clocks) <= count:
        return sorted(clocks, reverse=True)
    lowest, highest = clocks[0], clocks[-1]
    step = (highest - lowest) / (count - 1)
    nearest = {min(clocks, key=lambda mhz: abs(mhz - lowest - n * step)) for n in range(count)}
    return sorted(nearest, reverse=True)


def _tell(engine: Engine, plan: Sequence[tuple[int, int]], seconds: float) -> None:
    gpus = ", ".join(map(str, engine.config.gpus))
    print(f"{len(plan)} measurements of {engine.config.id} on GPU {gpus}, {seconds:g} s each:")
    for requests in sorted({requests for requests, _mhz in plan}):
        clocks = " ".join(str(mhz) for at_once, mhz in plan if at_once == requests)
        print(f"  {requests:4} at once, at {clocks} MHz")


def _sharers(engine: Engine) -> list[Engine]:
    """Returns the engines of this host that have one of its GPUs, and itself."""
    driver = Driver()
    gpus = driver.uuids(map(str, engine.config.gpus))
    others = [each for each in engines() if each != engine and is_here(each.config.url)]
    return [
        engine,
        *(each for each in others if gpus & driver.uuids(map(str, each.config.gpus))),
    ]


def _require_idle(engine: Engine, *, workers_are_stopped: bool = False) -> None:
    """Raises NotNow for an engine that has requests, or may get some: they would be measured."""
    name = engine.config.id
    pool = next(pool for pool in pools().values() if engine in pool.all_engines)
    if engine in pool.engines and not engine.config.from_file:
        raise NotNow(f"{name} takes requests: drain it first, and resume it afterwards")
    if engine in pool.engines and not workers_are_stopped:
        raise NotNow(f"{name} takes requests: stop its workers, and say --workers-are-stopped")
    if running := occupancy([pool.name])[pool.name].by_engine[name]:
        raise NotNow(f"{name} still runs {running} requests: wait until they have ended")


class Sweeping:
    def __init__(self, engine: Engine, agent: AgentClient, options: argparse.Namespace) -> None:
        self._engine, self._agent, self._options = engine, agent, options
        self._driver = Driver()
        self._gpus = [str(gpu) for gpu in engine.config.gpus]
        self._highest_mhz = 0

    def run(self, plan: Sequence[tuple[int, int]]) -> Sweep:
        """Measure all. Lower clocks out of the agent's bounds are left out.

        Raises NotNow or one of _FAILURES.
        """
        options, name = self._options, self._engine.config.id
        self._highest_mhz = max(mhz for _requests, mhz in plan)
        detail = {"engine": name, "gpus": self._gpus, "sweep": len(plan)}
        if not record(Action.GPU_LOCK, detail):
            raise NotNow("PostgreSQL does not answer: no clock is changed without a record")
        try:
            points = [point for each in plan if (point := self._point(*each))]
        finally:
            self._reset()
            record(Action.GPU_RESET, detail)
        sizes = options.seconds, options.prompt_tokens, options.answer_tokens
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Sweep(name, self._gpus, now, *sizes, points)

    def _point(self, requests: int, mhz: int) -> Point | None:
        options = self._options
        load = Load(requests, options.seconds, options.prompt_tokens, options.answer_tokens)
        try:
            with self._locked(mhz):
                measured = asyncio.run(measure(self._engine, load, self._millijoules))
        except AgentError as problem:
            if "may have" not in str(problem):
                raise
            if mhz == self._highest_mhz:
                raise NotNow(f"{problem}, and others are compared with that") from None
            print(f"  {mhz} MHz is left out: {problem}")
            return None
        point = Point(
            requests,
            mhz,
            measured.millijoules / 1000 / measured.tokens,
            measured.tokens / measured.seconds,
            measured.answer_p99_ms,
            measured.first_token_p99_ms,
        )
        print(f"  {requests:4} at once, {mhz} MHz: {point.joules_per_token:.3f} J per token")
        return point

    @contextmanager
    def _locked(self, mhz: int) -> Iterator[None]:
        """Hold a lock, which has to be renewed, meanwhile.

        Raises AgentError or NotNow, also where the lock was lost for a moment only: what was
        measured then is of another clock.
        """
        self._lock(mhz)
        ended, problems = threading.Event(), list[Exception]()

        def renew() -> None:
            while not (ended.wait(RENEW_S) or problems):
                try:
                    self._lock(mhz)
                except (AgentError, NotNow) as problem:
                    problems.append(problem)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if problems:
            raise problems[0]

    def _lock(self, mhz: int) -> None:
        for gpu in self._gpus:
            if "dry run" in self._agent.lock(gpu, mhz):
                raise NotNow("the agent makes a dry run: nothing can be measured")

    def _reset(self) -> None:
        for gpu in self._gpus:
            try:
                self._agent.reset(gpu)
            except AgentError as problem:
                print(f"  {problem}; the agent resets it within five seconds", file=sys.stderr)

    def _millijoules(self) -> int:
        return sum(map(self._driver.millijoules, self._gpus))
