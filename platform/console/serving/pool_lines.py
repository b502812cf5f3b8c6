"""The present state of pools and engines, from PostgreSQL, Redis and this process."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.cache import caches
from django.db.models import Aggregate, CharField, Count, Max, Q, Sum
from django.utils import timezone
from redis import RedisError

from console.usage.figures import LATENCY_WINDOW, LIVE_FOR, LIVE_WINDOW, Percentile
from inference.engines.health.breaker_override import Breaker, breakers_of
from inference.engines.health.reachability import EngineState, engine_state
from inference.lending.borrowers import borrowers
from inference.models import Engine, Job, Pool, Usage
from inference.pool_policy import jobs_queue
from inference.queue.client import client
from inference.queue.engine_window import EngineFigures, engine_figures
from inference.queue.occupancy import Occupancy, occupancy

Figures = dict[str, EngineFigures] | None  # None: Redis is unavailable


def figures_of(figures: Figures, engine: str) -> EngineFigures | None:
    return None if figures is None else figures.get(engine, EngineFigures())


def all_figures() -> Figures:
    """Return the figures of all engines, cached for a moment."""
    return cast(Figures, caches["process"].get_or_set("figures:engines", _read_figures, LIVE_FOR))


def _read_figures() -> Figures:
    try:
        return engine_figures(Engine.objects.values_list("pool__name", "name").order_by())
    except RedisError:
        return None


class LatestError(Aggregate):
    """The code of the last request that failed; None where none did."""

    template = (
        "(array_agg(%(expressions)s ORDER BY created_at DESC) "
        "FILTER (WHERE %(expressions)s <> ''))[1]"
    )
    output_field = CharField()


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Figures of the last five minutes; `tokens_per_second` is of the last minute."""

    requests: int = 0
    errors: int = 0
    tokens_per_second: float = 0.0
    ttft_p50: int | None = None
    ttft_p95: int | None = None
    queue_p50: int | None = None
    queue_p95: int | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None


def by_pool() -> dict[str, PoolFigures]:
    """Return the figures by pool, cached for a moment: many viewers cost one query."""
    figures = caches["process"].get_or_set("figures:pools", _by_pool, LIVE_FOR)
    return cast("dict[str, PoolFigures]", figures)


def _by_pool() -> dict[str, PoolFigures]:
    now = timezone.now()
    recent = Usage.objects.filter(created_at__gte=now - timedelta(seconds=LATENCY_WINDOW))
    last_minute = Q(created_at__gte=now - timedelta(seconds=LIVE_WINDOW))
    failed = ~Q(error_code="")
    rows = recent.values("pool").annotate(
        requests=Count("pk"),
        errors=Count("pk", filter=failed),
        tokens=Sum("completion_tokens", filter=last_minute, default=0),
        ttft_p50=Percentile("ttft_ms", fraction=0.5),
        ttft_p95=Percentile("ttft_ms", fraction=0.95),
        queue_p50=Percentile("queue_ms", fraction=0.5),
        queue_p95=Percentile("queue_ms", fraction=0.95),
        last_error=LatestError("error_code"),
        last_error_at=Max("created_at", filter=failed),
    )
    return {row["pool"]: _figures(dict(row)) for row in rows.order_by()}


def _figures(row: dict[str, Any]) -> PoolFigures:
    del row["pool"]
    return PoolFigures(tokens_per_second=row.pop("tokens") / LIVE_WINDOW, **row)


@dataclass(frozen=True, slots=True)
class EngineLine:
    engine: Engine
    standing: EngineState
    busy: int | None  # None: Redis is unavailable
    breaker: Breaker | None
    figures: EngineFigures | None
    job: Job | None  # on its GPU, which is lent


@dataclass(frozen=True, slots=True)
class PoolLine:
    pool: Pool
    occupancy: Occupancy | None
    figures: PoolFigures
    engines: list[EngineLine]


@dataclass(frozen=True, slots=True)
class _RedisFigures:
    occupancy: dict[str, Occupancy]
    breakers: dict[str, Breaker]
    figures: Figures
    jobs: dict[str, Job]  # by the engine that is lent to it


def pool_lines() -> list[PoolLine]:
    """Returns the pools by model, in the order in which they are tried."""
    rows = Pool.objects.select_related("model").prefetch_related("engines")
    pools = list(rows.order_by("model__position", "model__created_at", "position", "created_at"))
    redis_figures, figures = _redis_figures(pools), by_pool()
    return [
        PoolLine(
            pool,
            redis_figures.occupancy.get(pool.name),
            figures.get(pool.name, PoolFigures()),
            [_line(engine, pool, redis_figures) for engine in pool.engines.all()],
        )
        for pool in pools
    ]


def jobs_waiting(pool: Pool) -> int | None:
    """Return how many jobs wait for an engine of a pool that lends; None: Redis is unavailable."""
    queue = jobs_queue(pool.name)
    try:
        return occupancy([queue])[queue].waiting
    except RedisError:
        return None


def engine_line(engine: Engine) -> EngineLine:
    return _line(engine, engine.pool, _redis_figures([engine.pool]))


def _line(engine: Engine, pool: Pool, redis_figures: _RedisFigures) -> EngineLine:
    pool_occupancy = redis_figures.occupancy.get(pool.name)
    busy = pool_occupancy.by_engine[engine.name] if pool_occupancy else None
    figures = figures_of(redis_figures.figures, engine.name)
    name, state = engine.name, engine_state(engine)
    breaker, job = redis_figures.breakers.get(name), redis_figures.jobs.get(name)
    return EngineLine(engine, state, busy, breaker, figures, job)


def _redis_figures(pools: list[Pool]) -> _RedisFigures:
    rows = [engine for pool in pools for engine in pool.engines.all()]
    figures = all_figures()
    try:
        full = occupancy(pool.name for pool in pools)
        breakers = breakers_of(client(), [engine.name for engine in rows])
        jobs = borrowers(rows)
    except RedisError:
        return _RedisFigures({}, {}, figures, {})
    return _RedisFigures(full, breakers, figures, jobs)
