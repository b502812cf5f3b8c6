"""Has engines load the adapters that were promoted.

One process works at a time, once a second while there is something to do (inference/due_tasks.py).
Each call goes on where the rows say that it is: a process that dies leaves nothing half done.
"""

import logging

from django.utils import timezone

from inference.adapters import files, forgetting, supplying
from inference.adapters.targets import BY, Refused, has, targets
from inference.models import AdapterPromotion, VersionState
from inference.models.adapter import LOAD_WITHIN
from infrastructure.postgres.queries import try_lock

log = logging.getLogger(__name__)


def load_all() -> None:
    """Advance promotions that load, supply engines that came later, forget deleted versions."""
    with try_lock("inference adapters") as acquired:
        if acquired:
            for promotion in AdapterPromotion.objects.loading():
                _advance(promotion)
            supplying.supply_all()
            forgetting.forget_all()


def _advance(promotion: AdapterPromotion) -> None:
    """Let it serve once it is loaded. A broken one must not keep others from loading."""
    try:
        if _is_loaded(promotion):
            promotion.serve(by=BY)
    except Refused as problem:
        promotion.fail(str(problem), by=BY)
    except Exception as problem:
        log.exception("adapter %s: %s cannot be loaded", promotion.adapter, promotion.version)
        if timezone.now() - promotion.created_at > LOAD_WITHIN:
            promotion.fail(f"a fault of the platform: {type(problem).__name__}", by=BY)


def _is_loaded(promotion: AdapterPromotion) -> bool:
    """Returns whether all engines have it; else something is under way. Raises Refused."""
    if promotion.version.state != VersionState.READY:
        raise Refused("the version was deleted")
    if timezone.now() - promotion.created_at > LOAD_WITHIN:
        raise Refused(f"the engines did not load it within {LOAD_WITHIN.seconds // 60} minutes")
    promotion.formats = files.place(promotion.version)
    states = [has(engine, promotion) for engine in targets(promotion)]  # all of them at once
    return all(states)
