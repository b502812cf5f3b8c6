"""Metrics of engines for the jobs' exporter: slots, breakers, and what engines report."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import aiohttp

from inference.engines import pools
from inference.engines.base import Engine
from inference.engines.health import breaker_override, breakers
from inference.engines.load import Load
from inference.engines.transport.session import EngineSession
from inference.metrics.labels import ENGINE, POOL
from inference.queue.client import client
from inference.queue.occupancy import occupancy
from infrastructure.metrics import Gauge, Label

PATIENCE_S = 1.5
AT_ONCE = 32
_OF = POOL, ENGINE
_FAILED = (aiohttp.ClientError, TimeoutError, OSError, ValueError, OverflowError)

SLOTS = Gauge("forebay_engine_slots", "Requests that an engine may run at once", *_OF)
BUSY = Gauge(
    "forebay_engine_slots_busy", "Requests that it runs; of its slots: how full a batch is", *_OF
)
ADAPTERS = Gauge("forebay_engine_adapters", "Adapters that an engine reads at its start", *_OF)
BREAKER = Gauge(
    "forebay_engine_breaker_state",
    "1 for the state that its breaker is in: `due` and `half_open` let one request through; not of"
    " drained ones",
    *_OF,
    Label.of("state", *breakers.Phase),
)
UP = Gauge(
    "forebay_engine_up",
    "1 where it answered a question for its health; not of hosted ones, nor of drained silent ones",
    *_OF,
)
_LOAD = {  # by the fields of engines/load.py
    "running": Gauge(
        "forebay_engine_reported_running", "Requests that run in it, as it says itself", *_OF
    ),
    "waiting": Gauge(
        "forebay_engine_reported_waiting", "Requests that wait in it, as it says itself", *_OF
    ),
    "kv_cache": Gauge(
        "forebay_kv_cache_usage_ratio",
        "How full its KV cache is, from 0 to 1, where it says so",
        *_OF,
    ),
    "fragmentation": Gauge(
        "forebay_kv_cache_fragmentation_ratio",
        "Share of the KV cache's blocks in use that holds no token, from 0 to 1, where it says so",
        *_OF,
    ),
    "gpu_memory": Gauge(
        "forebay_engine_gpu_memory_reserved_ratio",
        "Share of its GPUs' memory that it has taken for good as it started, where it says so",
        *_OF,
    ),
}


class EngineReport(NamedTuple):
    up: bool
    load: Load | None


def read_queue() -> None:
    """Set the figures that Valkey has. Raises redis.RedisError."""
    by_pool, each = occupancy(pools()), _by_key()
    by_engine = breaker_override.breakers_of(client(), [engine for _, engine in each])
    SLOTS.set_all({key: engine.config.slots for key, engine in each.items()})
    ADAPTERS.set_all({key: len(engine.config.adapters) for key, engine in each.items()})
    BUSY.set_all({key: by_pool[key[0]].by_engine[key[1]] for key in each})
    # A drained engine's breaker stays closed: its pool would seem to have one that takes requests.
    serving = _serving()
    BREAKER.set_all(
        {
            (*key, phase): by_engine[key[1]].phase == phase
            for key, engine in each.items()
            for phase in breakers.Phase
            if engine in serving
        }
    )


def forget_queue() -> None:
    for gauge in (SLOTS, BUSY, BREAKER):
        gauge.forget()


def ask() -> None:
    """Ask all of them together, for PATIENCE_S at most."""
    own = {key: engine for key, engine in _by_key().items() if not engine.config.hosted}
    reports = dict(zip(own, asyncio.run(_reports(own.values())), strict=True))
    serving = _serving()
    # A drained engine may be stopped for repairs, or to save energy: its silence is no fault.
    watched = {key: report for key, report in reports.items() if report.up or own[key] in serving}
    UP.set_all({key: report.up for key, report in watched.items()})
    loads = {key: report.load for key, report in reports.items() if report.load}
    for field, gauge in _LOAD.items():
        figures = {key: getattr(load, field) for key, load in loads.items()}
        gauge.set_all({key: figure for key, figure in figures.items() if figure is not None})


def forget_reports() -> None:
    for gauge in (UP, *_LOAD.values()):
        gauge.forget()


def _serving() -> set[Engine]:
    return {engine for pool in pools().values() for engine in pool.engines}


def _by_key() -> dict[tuple[str, str], Engine]:
    return {(pool, engine.config.id): engine for pool, engine in _each()}


def _each() -> list[tuple[str, Engine]]:
    """Returns all but elastic ones without a worker, which are no fault."""
    return [
        (pool.name, engine)
        for pool in pools().values()
        for engine in pool.all_engines
        if not engine.config.elastic or engine in pool.engines
    ]


async def _reports(own_engines: Iterable[Engine]) -> list[EngineReport]:
    at_once = asyncio.Semaphore(AT_ONCE)
    async with EngineSession() as session:
        return await asyncio.gather(*(_one(engine, session, at_once) for engine in own_engines))


async def _one(engine: Engine, session: EngineSession, at_once: asyncio.Semaphore) -> EngineReport:
    up, load = False, None
    try:
        async with asyncio.timeout(PATIENCE_S), at_once:
            up = await engine.answers(session)
            load = await engine.load(session)
    except _FAILED:
        pass
    return EngineReport(up, load)
