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
BREAKER = Gauge(
    "forebay_engine_breaker_state",
    "1 for the state that its breaker is in: `due` and `half_open` let one request through",
    *_OF,
    Label.of("state", *breakers.Phase),
)
UP = Gauge(
    "forebay_engine_up", "1 where it answered a question for its health; not of hosted ones", *_OF
)
KV_CACHE = Gauge(
    "forebay_kv_cache_usage_ratio", "How full its KV cache is, from 0 to 1, where it says so", *_OF
)
FRAGMENTATION = Gauge(
    "forebay_kv_cache_fragmentation_ratio",
    "Share of the KV cache's blocks in use that holds no token, from 0 to 1, where it says so",
    *_OF,
)
GPU_MEMORY = Gauge(
    "forebay_engine_gpu_memory_reserved_ratio",
    "Share of its GPUs' memory that it has taken for good as it started, where it says so",
    *_OF,
)
OWN_RUNNING = Gauge(
    "forebay_engine_reported_running", "Requests that run in it, as it says itself", *_OF
)
OWN_WAITING = Gauge(
    "forebay_engine_reported_waiting", "Requests that wait in it, as it says itself", *_OF
)


_REPORTED = UP, OWN_RUNNING, OWN_WAITING, KV_CACHE, FRAGMENTATION, GPU_MEMORY


class Report(NamedTuple):
    up: bool
    load: Load | None


def read_queue() -> None:
    """Set the figures that Valkey has. Raises redis.RedisError."""
    by_pool = occupancy(pools())
    each = list(_each())
    names = [engine.config.id for _, engine in each]
    phases = {
        name: breaker.phase
        for name, breaker in breaker_override.breakers_of(client(), names).items()
    }
    SLOTS.set_all({key(*pair): pair[1].config.slots for pair in each})
    BUSY.set_all({key(*pair): by_pool[pair[0]].by_engine[pair[1].config.id] for pair in each})
    BREAKER.set_all(
        {
            (*key(*pair), phase): phases[pair[1].config.id] == phase
            for pair in each
            for phase in breakers.Phase
        }
    )


def forget_queue() -> None:
    for gauge in (SLOTS, BUSY, BREAKER):
        gauge.forget()


def ask() -> None:
    """Ask all of them together, for PATIENCE_S at most."""
    own = [pair for pair in _each() if not pair[1].config.hosted]
    reports = asyncio.run(_reports(engine for _, engine in own))
    by_key = {key(*pair): report for pair, report in zip(own, reports, strict=True)}
    loads = {name: each.load for name, each in by_key.items() if each.load}
    UP.set_all({name: each.up for name, each in by_key.items()})
    OWN_RUNNING.set_all({name: load.running for name, load in loads.items()})
    OWN_WAITING.set_all({name: load.waiting for name, load in loads.items()})
    KV_CACHE.set_all(_known({name: load.kv_cache for name, load in loads.items()}))
    FRAGMENTATION.set_all(_known({name: load.fragmentation for name, load in loads.items()}))
    GPU_MEMORY.set_all(_known({name: load.gpu_memory for name, load in loads.items()}))


def _known(figures: dict[tuple[str, str], float | None]) -> dict[tuple[str, ...], float]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def forget_reports() -> None:
    for gauge in _REPORTED:
        gauge.forget()


def key(pool: str, engine: Engine) -> tuple[str, str]:
    return pool, engine.config.id


def _each() -> Iterable[tuple[str, Engine]]:
    """Returns all but elastic ones without a worker, which are no fault."""
    return [
        (pool.name, engine)
        for pool in pools().values()
        for engine in pool.all_engines
        if not engine.config.elastic or engine in pool.engines
    ]


async def _reports(own_engines: Iterable[Engine]) -> list[Report]:
    at_once = asyncio.Semaphore(AT_ONCE)
    async with EngineSession() as session:
        return await asyncio.gather(*(_one(engine, session, at_once) for engine in own_engines))


async def _one(engine: Engine, session: EngineSession, at_once: asyncio.Semaphore) -> Report:
    up, load = False, None
    try:
        async with asyncio.timeout(PATIENCE_S), at_once:
            up = await engine.answers(session)
            load = await engine.load(session)
    except _FAILED:
        pass
    return Report(up, load)
