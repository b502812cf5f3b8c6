"""`python -m config.energy governor`: the process that governs the clocks of this host's GPUs.

It needs no privilege: it asks the energy agent (agent.py), which knows the bounds.
"""

import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from redis import RedisError

from audit.actions import Action
from audit.trail.record import act
from config import process_heartbeat
from config.energy import sweep_file
from config.energy.client import AgentClient
from config.energy.host_clocks import EngineLoad, HostClocks, Levels
from config.process_start import follow_engines, release_problem
from inference import loop_heartbeats
from inference.energy.clock_choice import Bound, levels
from inference.engines import pools
from inference.queue.occupancy import Occupancy, occupancy
from infrastructure.own_addresses import is_here
from tenants.scope import system_scope

log = logging.getLogger(__name__)
BY = "system:energy"
EVERY_S = 1.0
_REALTIME = "realtime"


def main() -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if problem := release_problem() or follow_engines():
        sys.exit(problem)
    clocks = _host_clocks()
    process_heartbeat.begin()
    process_heartbeat.tell("READY=1")
    while not stopping.wait(EVERY_S):
        loop_heartbeats.beat("energy")
        _step(clocks)
    clocks.step(time.time(), [])  # gives every clock back


def _host_clocks() -> HostClocks:
    known: Levels = _levels() if settings.ENERGY_CLOCKS else {}
    for (name, _gpus), each in known.items():
        words = ", ".join(f"up to {level.requests}: {level.mhz or 'own'}" for level in each)
        log.info("clocks in MHz of engine %s, by requests at once: %s", name, words)
    if not settings.ENERGY_CLOCKS:
        log.warning("FOREBAY_ENERGY is neither clocks nor on: nothing is locked")
    elif not known:
        log.warning("no engine of this host has a sweep: nothing is locked")
    return HostClocks(AgentClient(Path(settings.ENERGY_AGENT)), known, record)


def _levels() -> Levels:
    """Returns the levels of this host's sweeps. Ends the process if their file cannot be read."""
    try:
        sweeps = sweep_file.read(settings.FOREBAY_HOME)
    except (ValueError, OSError) as problem:
        sys.exit(str(problem))
    bound = Bound(settings.ENERGY_SLOWER, settings.ENERGY_FIRST_TOKEN_MS)
    return {
        (name, tuple(sweep.gpus)): levels(sweep.points, bound) for name, sweep in sweeps.items()
    }


def _step(clocks: HostClocks) -> None:
    try:
        loads = present_loads()
    except RedisError as problem:  # the agent resets by itself
        log.warning("cannot see the load of the engines: %s", problem)
        return
    clocks.step(time.time(), loads)


def present_loads() -> list[EngineLoad]:
    """Returns the load of each engine that takes requests and whose GPUs are here.

    The others have the driver's own clock: a sweep may be measuring them. Raises RedisError.
    """
    here = {
        (pool.name, engine.config.id): tuple(map(str, engine.config.gpus))
        for pool in pools().values()
        for engine in pool.engines
        if engine.config.gpus and is_here(engine.config.url)
    }
    states = occupancy({pool for pool, _engine in here})
    return [
        EngineLoad(engine, gpus, states[pool].by_engine[engine], _realtime_waiting(states[pool]))
        for (pool, engine), gpus in here.items()
    ]


def _realtime_waiting(state: Occupancy) -> int:
    return sum(line.waiting for line in state.by_class if line.name == _REALTIME)


def record(action: Action, detail: dict[str, Any]) -> bool:
    """Put an act on record. Returns whether PostgreSQL has it."""
    try:
        with system_scope(), transaction.atomic():
            act(action, actor=BY, detail=detail)
    except DatabaseError as problem:
        log.warning("%s of %s is not on record: %s", action, detail, problem)
        return False
    finally:
        connections.close_all()
    return True
