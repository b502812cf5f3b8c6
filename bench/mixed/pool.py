"""A pool over a day that lends engines to jobs, with the queue's own scripts and decisions."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from bench.simulate.arrivals import Request
from bench.simulate.policy import Day
from bench.simulate.pool import SimulatedPool, VirtualEngine
from bench.simulate.tally import Tally
from bench.simulate.virtual_link import VirtualLink
from inference.energy.consolidation import Member, Rules, loaded, plan
from inference.energy.peaks import Peaks
from inference.lending.engine_choice import Lender, decide

LOOK_S = 2.0  # as beat sends the task (config/schedule/scheduler.py)


@dataclass(frozen=True, slots=True)
class Handover:
    """Seconds in which an engine's GPU works for nobody.

    `begins_s`: the engine falls asleep, and the trainer loads its last checkpoint. `returns_s`: the
    trainer ends a step and writes a checkpoint, the bound of the pool. `wakes_s`: the engine loads
    its weights again.
    """

    begins_s: float = 60.0
    returns_s: float = 30.0
    wakes_s: float = 30.0


@dataclass(slots=True)
class Lending:
    """An engine's state. `since`: when a job began to work on it; None: no job does.

    `ready_at`: when its server takes requests again.
    """

    rests: bool = False
    lent: bool = False
    since: float | None = None
    ready_at: float = 0.0


class MixedPool(SimulatedPool):
    """`rules` None: all engines serve all day. `jobs`: how many want a GPU at any time."""

    def __init__(
        self,
        link: VirtualLink,
        name: str,
        engines: int,
        day: Day,
        arrivals: Iterator[Request],
        rules: Rules | None,
        handover: Handover,
        jobs: int,
    ) -> None:
        super().__init__(link, name, engines, day, arrivals)
        self._rules, self._handover, self._jobs = rules, handover, jobs
        self._peaks = Peaks(rules.hold_s) if rules else None
        self._lending = {name: Lending() for name in self.engines}
        self.trained_s = self.awake_s = 0.0
        self.lent = 0

    async def run(self, *, opens_at: float = 0.0) -> Tally:
        self._at(opens_at, self._look)
        await super().run(opens_at=opens_at)
        for state in self._lending.values():
            self._stop_job(state)
        return self.tally

    async def _fill(self, engine: VirtualEngine) -> None:
        state = self._lending[engine.name]
        if not state.rests and state.ready_at <= self._now:
            await super()._fill(engine)
        elif not engine.asleep:
            engine.asleep = True
            await self._wake_another()

    async def _wake_another(self) -> None:
        """Have an engine ask that serves: the note that something waits went to one that rests."""
        for name, other in self.engines.items():
            state = self._lending[name]
            if other.free and other.asleep and not state.rests and state.ready_at <= self._now:
                other.asleep = False
                await super()._fill(other)
                return

    # Decisions -----------------------------------------------------------------------------------
    async def _look(self) -> None:
        self._at(self._now + LOOK_S, self._look)
        serving = [name for name, state in self._lending.items() if not state.rests]
        self.awake_s += LOOK_S * len(serving)
        if self._rules and self._peaks:
            await self._balance(self._rules, self._peaks)

    async def _balance(self, rules: Rules, peaks: Peaks) -> None:
        waiting = [each for each in self._requests.values() if each.started is None]
        demand = sum(len(engine.running) for engine in self.engines.values()) + len(waiting)
        peaks.add(self._now, demand)
        members = [self._member(engine) for engine in self.engines.values()]
        acts = plan(rules, members, demand, peaks.peak)
        if acts.wake:
            peaks.restart(self._now)
        for name in acts.wake:
            self._lending[name].rests = False
            self.engines[name].asleep = False
            await self._fill(self.engines[name])
        if acts.rest:
            self._lending[acts.rest].rests = True
        needed = loaded(rules, members, demand)
        at_peak = None if peaks.peak is None else loaded(rules, members, peaks.peak)
        self._lend(needed, at_peak)

    def _member(self, engine: VirtualEngine) -> Member:
        state = self._lending[engine.name]
        works = not state.lent and state.ready_at <= self._now
        return Member(engine.name, engine.slots, state.rests, works)

    def _lend(self, needed: int, at_peak: int | None) -> None:
        lenders = [
            Lender(name, self._is_free(name), state.lent) for name, state in self._lending.items()
        ]
        jobs = self._jobs - sum(each.is_lent for each in lenders)
        decision = decide(lenders, needed, at_peak, jobs)
        for name in decision.lend:
            state = self._lending[name]
            state.lent, state.since = True, self._now + self._handover.begins_s
            self.lent += 1
        for name in decision.take_back:
            state = self._lending[name]
            self._stop_job(state)
            state.lent = False
            state.ready_at = self._now + self._handover.returns_s + self._handover.wakes_s
            self._at(state.ready_at, partial(self._fill, self.engines[name]))

    def _is_free(self, name: str) -> bool:
        state = self._lending[name]
        is_idle = not self.engines[name].running and state.ready_at <= self._now
        return state.rests and not state.lent and is_idle

    def _stop_job(self, state: Lending) -> None:
        if state.since is not None:
            self.trained_s += max(0.0, self._now - state.since)
        state.since = None
