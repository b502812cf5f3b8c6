"""Figures of each engine over the last minutes, as its workers measured them (inference/queue/)."""

from typing import cast

from django.core.cache import caches
from redis import RedisError

from console.usage.figures import LIVE_FOR
from inference.models import Engine
from inference.queue.engine_window import EngineFigures, engine_figures

Figures = dict[str, EngineFigures] | None  # None: Redis is unavailable


def figures_of(figures: Figures, engine: str) -> EngineFigures | None:
    return None if figures is None else figures.get(engine, EngineFigures())


def all_figures() -> Figures:
    """Return the figures of all engines, cached for a moment."""
    return cast(Figures, caches["process"].get_or_set("figures:engines", _read, LIVE_FOR))


def _read() -> Figures:
    try:
        return engine_figures(Engine.objects.values_list("pool__name", "name").order_by())
    except RedisError:
        return None
