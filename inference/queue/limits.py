"""What a pool's queue allows each class: how many wait, their share, and slots kept for them."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from inference import classes
from inference.engines import Pool, pools, reachable
from inference.policy import Policy

NO_POLICY = Policy()
_known: dict[str, tuple[tuple[Any, ...], tuple[str, bool]]] = {}  # by pool


def limits_of(policy: Policy, klass: str) -> dict[str, float]:
    """The pool's own, else the installation's, else those of the class (inference/policy.py)."""
    own = classes.of(klass)
    by_default: dict[str, float] = {
        "waiting": own.most_waiting,
        "wait_s": own.longest_wait_s,
        "share": own.minimum_share,
        "share_after_s": own.share_after_s,
        "ageing_s": own.ageing_s or 0,
        "reserved": 0,
    }
    return {**by_default, **settings.QUEUE_LIMITS.get(klass, {}), **policy.limits.get(klass, {})}


def turns(pool: str) -> tuple[str, str]:
    """As pop.lua wants them: the rules of each class, and the pool's slots where some are kept."""
    found = pools().get(pool)
    rules, keeps = _rules(pool, found.policy if found else NO_POLICY)
    return rules, str(_slots(found)) if found and keeps else ""


def _rules(pool: str, policy: Policy) -> tuple[str, bool]:
    """Asked for with each pop: they are made once for a policy."""
    holds = policy, tuple(classes.CLASSES.values()), settings.QUEUE_LIMITS
    known = _known.get(pool)
    if known is None or known[0] != holds:
        limits = [limits_of(policy, name) for name in classes.CLASSES]
        told = " ".join(map(_rule, limits)), any(each["reserved"] for each in limits)
        known = _known[pool] = holds, told
    return known[1]


def _rule(limits: Mapping[str, float]) -> str:
    share, after_ms = round(limits["share"] * 1000), round(limits["share_after_s"] * 1000)
    return f"{share}|{after_ms}|{round(limits['ageing_s'] * 1000)}|{int(limits['reserved'])}"


def _slots(pool: Pool) -> int:
    """Of the engines that can be asked: slots of others are not free."""
    up = [engine for engine in pool.engines if reachable.available(engine)]
    return sum(engine.config.slots for engine in up or pool.engines)
