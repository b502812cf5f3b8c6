"""Gives engines that came later the adapters that serve: added, resumed or replaced by operators.

A pool serves an adapter only if each of its engines has it, so a newcomer without it would keep its
pool from that. A vLLM needs nothing: its workers load each adapter with its first request.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from inference.adapters import files
from inference.adapters.targets import Refused, listed_by, replace, serving
from inference.model_registry.promoting import COPY_PROBLEMS
from inference.models import Adapter, AdapterPromotion, Engine, PromotionStep, Replacement

log = logging.getLogger(__name__)
AGAIN = timedelta(minutes=10)  # after a replacement that did not come to its end


def supply_all() -> None:
    live = Adapter.objects.live().filter(promotions__step=PromotionStep.SERVING)
    for base in set(live.values_list("base", flat=True)):
        promotions = _promotions(base)
        for engine in serving(base):
            if engine.kind == "llama_cpp" and engine.launched:
                _supply(engine, promotions)


def _promotions(base: str) -> list[AdapterPromotion]:
    """Returns those that a llama.cpp should have, the oldest first."""
    rows = AdapterPromotion.objects.wanted().select_related("version")
    rows = rows.filter(adapter__base=base, step=PromotionStep.SERVING, formats__contains=files.GGUF)
    return list(rows.order_by("created_at"))


def _supply(engine: Engine, promotions: list[AdapterPromotion]) -> None:
    wanted, present = promotions[: settings.ADAPTERS_PER_ENGINE], listed_by(engine)
    names = [str(each.version_id) for each in wanted]
    if set(names) <= set(present) or _is_under_way(engine):
        return
    lost = {str(each.version_id) for each in wanted if not _is_placed(each)}
    names = [name for name in names if name not in lost]
    if set(names) <= set(present):
        return
    rest = [name for name in present if name not in {*names, *lost}]
    try:
        replace(engine, [*names, *rest][: settings.ADAPTERS_PER_ENGINE])
    except Refused as problem:
        log.warning("%s cannot get its adapters: %s", engine.name, problem)


def _is_placed(promotion: AdapterPromotion) -> bool:
    """Place its files. One that cannot be must not keep others from engines."""
    try:
        files.place(promotion.version)
    except COPY_PROBLEMS as problem:
        log.warning("%s has no files for engines: %s", promotion.version, problem)
        return False
    return True


def _is_under_way(engine: Engine) -> bool:
    """Returns whether it is being replaced, or was not long ago, without success."""
    if Replacement.objects.open().filter(Q(old=engine) | Q(new=engine)).exists():
        return True
    recent = Replacement.objects.filter(old_name=engine.name)
    return bool(recent.filter(created_at__gt=timezone.now() - AGAIN).exists())
