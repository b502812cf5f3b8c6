"""The present state of pools and engines, from PostgreSQL, Redis and this process."""

from dataclasses import dataclass

from redis import RedisError

from console.serving import engine_figures
from console.serving.pool_figures import PoolFigures, by_pool
from inference.engines.health.breaker_override import Breaker, breakers_of
from inference.engines.health.state import EngineState, engine_state
from inference.models import Engine, Pool
from inference.queue.client import client
from inference.queue.engine_window import EngineFigures
from inference.queue.occupancy import Occupancy, occupancy


@dataclass(frozen=True, slots=True)
class EngineLine:
    engine: Engine
    standing: EngineState
    busy: int | None  # None: Redis is unavailable
    breaker: Breaker | None
    figures: EngineFigures | None


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
    figures: engine_figures.Figures


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


def engine_line(engine: Engine) -> EngineLine:
    return _line(engine, engine.pool, _redis_figures([engine.pool]))


def _line(engine: Engine, pool: Pool, redis_figures: _RedisFigures) -> EngineLine:
    pool_occupancy = redis_figures.occupancy.get(pool.name)
    busy = pool_occupancy.by_engine[engine.name] if pool_occupancy else None
    figures = engine_figures.figures_of(redis_figures.figures, engine.name)
    return EngineLine(
        engine, engine_state(engine), busy, redis_figures.breakers.get(engine.name), figures
    )


def _redis_figures(pools: list[Pool]) -> _RedisFigures:
    names = [engine.name for pool in pools for engine in pool.engines.all()]
    figures = engine_figures.all_figures()
    try:
        full, breakers = occupancy(pool.name for pool in pools), breakers_of(client(), names)
    except RedisError:
        return _RedisFigures({}, {}, figures)
    return _RedisFigures(full, breakers, figures)
