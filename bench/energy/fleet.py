"""A pool of modelled GPUs over a day, with Forebay's own decisions: consolidation and clocks."""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.energy.day import Request
from bench.energy.power import BARE_W, OWN_MHZ, START_S, START_W, Gpu
from inference.energy.clock_choice import ClockChoice, Level
from inference.energy.consolidation import Member, Rules, loaded, plan
from inference.energy.peaks import Peaks

LOOK_S = 2.0  # as beat sends the task (config/schedule/scheduler.py)
GOVERN_S = 1.0  # as config/energy/governor.py
BUCKET_S = 600


@dataclass(frozen=True, slots=True)
class Policy:
    """`rules`: None, and all engines are always awake. Without `levels` no clock is locked."""

    name: str
    rules: Rules | None = None
    levels: Sequence[Level] = ()


@dataclass(frozen=True, slots=True)
class Done:
    at: float  # of its receipt
    first_token_s: float
    answer_s: float


@dataclass
class Engine:
    number: int
    gpu: Gpu
    choice: ClockChoice | None
    resting: bool = False
    mhz: int = OWN_MHZ
    ready_at: float | None = 0.0  # of its server; None: it is stopped
    used: int = 0  # slots, prefill included
    at: float = 0.0
    progress: float = 0.0  # tokens that one who had run from the beginning would have
    ends: list[tuple[float, int, Request, float]] = field(default_factory=list)  # by progress
    joules: float = 0.0
    version: int = 0  # of its next end, which changes with its load and clock

    def advance(self, now: float) -> None:
        seconds, self.at = now - self.at, now
        running = len(self.ends)
        if running:
            self.progress += seconds / self.gpu.token_s(running, self.mhz)
        self.joules += seconds * (self._server_watts or self.gpu.watts(running, self.mhz))

    @property
    def _server_watts(self) -> float:
        """Returns the power while its server is stopped or starts, else 0."""
        if self.ready_at is None:
            return BARE_W
        return START_W if self.at < self.ready_at else 0.0

    @property
    def next_end(self) -> float:
        rest = self.ends[0][0] - self.progress
        return self.at + max(0.0, rest) * self.gpu.token_s(len(self.ends), self.mhz)


class Fleet:
    def __init__(self, policy: Policy, engines: int, slots: int, gpu: Gpu) -> None:
        self._policy, self._slots = policy, slots
        self._engines = [
            Engine(n, gpu, ClockChoice(policy.levels) if policy.levels else None)
            for n in range(engines)
        ]
        self._peaks = Peaks(policy.rules.hold_s) if policy.rules else None
        self._waiting: deque[Request] = deque()
        self._events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self._number = count()
        self.done: list[Done] = []
        self.acts: list[tuple[float, str, int]] = []  # seconds, "rest", "wake", "up" or "down"
        self.joules: list[float] = []  # by BUCKET_S
        self.awake: list[int] = []

    def play(self, requests: Iterable[Request], seconds: float) -> "Fleet":
        arrivals, now = iter(requests), 0.0
        self._plan(GOVERN_S, "govern")
        self._plan(BUCKET_S, "bucket")
        self._next_arrival(arrivals)
        while self._events and now < seconds:
            now, _number, kind, details = heapq.heappop(self._events)
            if kind == "arrives":
                # The details of an event are its kind's: here a request.
                self._waiting.append(details[0])  # type: ignore[arg-type]
                self._dispatch(now)
                self._next_arrival(arrivals)
            else:
                getattr(self, f"_{kind}")(now, *details)
        return self

    def _plan(self, at: float, kind: str, *details: object) -> None:
        heapq.heappush(self._events, (at, next(self._number), kind, details))

    def _next_arrival(self, arrivals: Iterable[Request]) -> None:
        if request := next(iter(arrivals), None):
            self._plan(request.at, "arrives", request)

    # Requests ------------------------------------------------------------------------------------
    def _dispatch(self, now: float) -> None:
        """Give what waits to the engine with the most free slots, as long as there is one."""
        while self._waiting:
            free = [e for e in self._engines if not e.resting and e.used < self._slots]
            if not free:
                return
            engine = min(free, key=lambda each: each.used)
            request = self._waiting.popleft()
            engine.used += 1
            prefill_s = engine.gpu.prefill_s(request.prompt, engine.mhz)
            engine.joules += prefill_s * engine.gpu.prefill_watts(engine.mhz)
            self._plan(now + prefill_s, "begins", engine, request)

    def _begins(self, now: float, engine: Engine, request: Request) -> None:
        engine.advance(now)
        end = engine.progress + request.answer
        heapq.heappush(engine.ends, (end, next(self._number), request, now))
        self._replan(engine)

    def _ends(self, now: float, engine: Engine, version: int) -> None:
        if version != engine.version:
            return
        engine.advance(now)
        _end, _number, request, began = heapq.heappop(engine.ends)
        engine.used -= 1
        self.done.append(Done(request.at, began - request.at, now - request.at))
        self._replan(engine)
        self._dispatch(now)

    def _replan(self, engine: Engine) -> None:
        engine.version += 1
        if engine.ends:
            self._plan(engine.next_end, "ends", engine, engine.version)

    # Decisions -----------------------------------------------------------------------------------
    def _govern(self, now: float) -> None:
        if self._peaks and now % LOOK_S < GOVERN_S:
            self._consolidate(now, self._peaks)
        for engine in self._engines:
            if engine.choice and not engine.resting:
                self._set(engine, engine.choice.choose(now, engine.used, len(self._waiting)), now)
        self._plan(now + GOVERN_S, "govern")

    def _set(self, engine: Engine, mhz: int, now: float) -> None:
        mhz = mhz or OWN_MHZ
        if mhz != engine.mhz:
            self.acts.append((now, "up" if mhz > engine.mhz else "down", engine.number))
            engine.advance(now)
            engine.mhz = mhz
            self._replan(engine)

    def _consolidate(self, now: float, peaks: Peaks) -> None:
        rules = self._policy.rules
        assert rules
        demand = sum(engine.used for engine in self._engines) + len(self._waiting)
        peaks.add(now, demand)
        members = [
            Member(
                str(e.number), self._slots, e.resting, e.ready_at is not None and e.ready_at <= now
            )
            for e in self._engines
        ]
        decision = plan(rules, members, demand, peaks.peak)
        for name in decision.wake:
            self._engines[int(name)].resting = False
            self.acts.append((now, "wake", int(name)))
        if decision.wake:
            peaks.restart(now)
            self._dispatch(now)
        if decision.rest:
            self._engines[int(decision.rest)].resting = True
            self.acts.append((now, "rest", int(decision.rest)))
        for engine in self._engines[: loaded(rules, members, demand)]:
            if engine.ready_at is None:
                engine.advance(now)
                engine.ready_at = now + START_S
        if peaks.peak is not None:
            for engine in self._engines[loaded(rules, members, peaks.peak) :]:
                if engine.resting and not engine.used and engine.ready_at is not None:
                    engine.advance(now)
                    engine.ready_at = None

    def _bucket(self, now: float) -> None:
        for engine in self._engines:
            engine.advance(now)
        self.joules.append(sum(engine.joules for engine in self._engines) - sum(self.joules))
        self.awake.append(sum(not engine.resting for engine in self._engines))
        self._plan(now + BUCKET_S, "bucket")
