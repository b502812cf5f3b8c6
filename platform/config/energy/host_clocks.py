"""Locks the clocks of one host's GPUs by the load of its engines, through the energy agent.

A GPU whose load is unknown, that has no sweep, or for whose engine a real-time request waits, has
the driver's own clock. A lock is asked for again at each step: without that the agent resets it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from audit.actions import Action
from config.energy.client import AgentClient, AgentError
from inference.energy.clock_choice import ClockChoice, Level

log = logging.getLogger(__name__)
Record = Callable[[Action, dict[str, Any]], bool]  # returns whether it is on record
# By an engine and the GPUs with which it was swept: with others nothing is known of it.
Levels = Mapping[tuple[str, tuple[str, ...]], Sequence[Level]]
_OWN = 0  # the driver's own clock
PAUSE_S = 300.0  # after a refusal: one that lasts must not fill the trail


class EngineLoad(NamedTuple):
    """An engine of this host: its GPUs, and its requests. `waiting`: of class `realtime`."""

    name: str
    gpus: tuple[str, ...]
    running: int
    waiting: int


class HostClocks:
    def __init__(self, agent: AgentClient, levels: Levels, record: Record) -> None:
        self._agent, self._record = agent, record
        self._choices = {engine: ClockChoice(known) for engine, known in levels.items()}
        self._locked: dict[str, int] = {}  # by GPU, in MHz
        self._pauses: dict[str, float] = {}  # by GPU, until when
        self._are_named_twice = False

    def step(self, now: float, loads: Iterable[EngineLoad]) -> None:
        """Lock and reset by the present load. Call it every second, `now` in seconds."""
        loads = list(loads)
        wanted = self._wanted(now, loads)
        by_gpu = {gpu: load for load in loads for gpu in load.gpus}
        for gpu in sorted(wanted.keys() | self._locked.keys()):
            mhz, load = wanted.get(gpu, _OWN), by_gpu.get(gpu)
            if now < self._pauses.get(gpu, now):
                continue
            try:
                self._lock(gpu, mhz, load) if mhz else self._reset(gpu, load)
            except AgentError as problem:
                self._pauses[gpu] = now + PAUSE_S
                self._note(gpu, str(problem))

    def _wanted(self, now: float, loads: Iterable[EngineLoad]) -> dict[str, int]:
        """Returns the clock of each GPU: the highest that one of its engines needs."""
        wanted: dict[str, int] = {}
        for load in loads:
            choice = self._choices.get((load.name, load.gpus))
            mhz = choice.choose(now, load.running, load.waiting) if choice else _OWN
            for gpu in load.gpus:
                before = wanted.get(gpu, mhz)
                wanted[gpu] = _OWN if _OWN in (mhz, before) else max(mhz, before)
        return dict.fromkeys(wanted, _OWN) if self._may_be_named_twice(wanted) else wanted

    def _may_be_named_twice(self, gpus: Iterable[str]) -> bool:
        """Returns whether indices and UUIDs are mixed: two names may then be of one GPU."""
        before, kinds = self._are_named_twice, {gpu.isdecimal() for gpu in gpus}
        self._are_named_twice = len(kinds) > 1
        if self._are_named_twice and not before:
            log.error("ALERT energy:clocks: name the GPUs of a host all by index or all by UUID")
        return self._are_named_twice

    def _lock(self, gpu: str, mhz: int, load: EngineLoad | None) -> None:
        if self._locked.get(gpu) != mhz:
            detail = {"gpu": gpu, "mhz": mhz, "before": self._locked.get(gpu), **_shown(load)}
            if not self._record(Action.GPU_LOCK, detail):
                return  # no act without a record: the agent resets what was locked before
        self._locked[gpu] = mhz
        self._agent.lock(gpu, mhz)

    def _reset(self, gpu: str, load: EngineLoad | None) -> None:
        if gpu in self._locked:
            self._agent.reset(gpu)
            before = self._locked.pop(gpu)
            self._record(Action.GPU_RESET, {"gpu": gpu, "before": before, **_shown(load)})

    def _note(self, gpu: str, problem: str) -> None:
        """Note that a GPU has the driver's clock by now, or will have it in seconds."""
        log.error("ALERT energy:clocks: %s", problem)
        if before := self._locked.pop(gpu, None):
            self._record(Action.GPU_RESET, {"gpu": gpu, "before": before, "reason": problem})


def _shown(load: EngineLoad | None) -> dict[str, Any]:
    return {"engine": load.name, "running": load.running, "waiting": load.waiting} if load else {}
