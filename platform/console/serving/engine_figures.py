"""What each engine has done in the last minutes, as its workers say (inference/queue/)."""

from typing import cast

from django.core.cache import caches
from redis import RedisError

from console.usage.figures import LIVE_FOR
from inference.models import Engine
from inference.queue.engine_figures import EngineFigures, engine_figures

Figures = dict[str, EngineFigures] | None  # None: Redis is unavailable


def of(figures: Figures, engine: str) -> EngineFigures | None:
    return None if figures is None else figures.get(engine, EngineFigures())


def all_figures() -> Figures:
    """Read for all engines at once, and kept for a moment."""
    return cast(Figures, caches["process"].get_or_set("figures:engines", _of_all, LIVE_FOR))


def _of_all() -> Figures:
    try:
        return engine_figures(Engine.objects.values_list("pool__name", "name").order_by())
    except RedisError:
        return None
