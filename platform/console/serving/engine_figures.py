"""What each engine has done in the last minutes, as its workers say (inference/queue/)."""

from typing import cast

from django.core.cache import caches
from redis import RedisError

from console.usage.figures import LIVE_FOR
from inference.models import Engine
from inference.queue.engine_figures import EngineFigures, engine_figures

_Figures = dict[str, EngineFigures] | None


def figures_of(engine: str) -> EngineFigures | None:
    """None: Redis is unavailable. Read for all at once, and kept for a moment."""
    found = cast(_Figures, caches["process"].get_or_set("figures:engines", _of_all, LIVE_FOR))
    return None if found is None else found.get(engine, EngineFigures())


def _of_all() -> _Figures:
    try:
        return engine_figures(Engine.objects.values_list("pool__name", "name").order_by())
    except RedisError:
        return None
