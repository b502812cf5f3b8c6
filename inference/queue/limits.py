"""The limits of a pool's queue for each class: waiting requests, share, and slots kept free."""

import time
from collections.abc import Mapping
from math import isqrt
from typing import Any

from django.conf import settings

from inference import classes
from inference.engines import Pool, all_queues
from inference.engines.base import Engine
from inference.engines.health import reachability
from inference.pool_policy import PoolPolicy

SLOTS_TO_ONE = 8  # where streams slow each other, lower classes get 1 in 8 slots beside real-time
LOOK_S = 0.25  # until an engine that goes or comes is noticed
_cached_rules: dict[str, tuple[tuple[Any, ...], str]] = {}  # rules by pool
_up: dict[str, tuple[Pool, float, list[Engine]]] = {}  # by pool, and when they were looked for


def limits_of(
    policy: PoolPolicy, klass: str, slots: int = 0, *, shares_processors: bool = False
) -> dict[str, float]:
    """Returns limits: the pool's, else the installation's, else the class's.

    inference/pool_policy.py describes them.
    """
    own = classes.of(klass)
    by_default: dict[str, float] = {
        "waiting": own.most_waiting,
        "wait_s": own.longest_wait_s,
        "share": own.minimum_share,
        "share_after_s": own.share_after_s,
        "ageing_s": own.ageing_s or 0,
        "reserved": 0,
        "lower_slots": slots,
        "reserved_vip": 0,
    }
    configured = {**settings.QUEUE_LIMITS.get(klass, {}), **policy.limits.get(klass, {})}
    usual = _usual_headroom(slots) if own.has_headroom else 0
    if own.has_headroom and shares_processors:
        by_default["lower_slots"] = max(1, slots // SLOTS_TO_ONE)
    return {**by_default, "headroom": min(usual, configured.get("reserved", usual)), **configured}


def _usual_headroom(slots: int) -> int:
    """Returns the chance variation of requests that come one by one, less one.

    So a pool of three slots or fewer has none, and one of four keeps three in use.
    """
    return max(0, isqrt(slots) - 1)


def turns(pool: str) -> tuple[str, str, str]:
    """Returns pop.lua's arguments.

    They are the rules of each class, slots with draining engines, and the rule of warm engines.
    """
    known = all_queues().get(pool)
    slots = slots_of(known) if known else 0
    rules, warm = _rules(pool, known, slots), _warm_rule(known)
    if known and slots and known.draining:
        return rules, " ".join([str(slots), *(engine.config.id for engine in known.draining)]), warm
    return rules, str(slots or ""), warm


def _warm_rule(pool: Pool | None) -> str:
    if not pool or len(pool.engines) < 2 or not settings.WARM_WAIT_MS:
        return ""
    names = [engine.config.id for engine in _available(pool)]
    return " ".join([str(settings.WARM_WAIT_MS), *names])


def kept_free(pool: str) -> dict[str, int]:
    """Returns the slots that lower classes leave free while a class has had requests lately."""
    known = all_queues().get(pool)
    if known is None:
        return {}
    slots = slots_of(known)
    limits = _limits(known, slots)
    free = {name: max(_reserved(each), _kept_lately(each, slots)) for name, each in limits.items()}
    return {name: number for name, number in free.items() if number}


def left_free(pool: str, klass: str) -> int:
    """Returns the slots that a request of a class leaves to other tenants and higher classes.

    It counts for what a running request takes beside its own slot.
    """
    known = all_queues().get(pool)
    if known is None:
        return 0
    slots = slots_of(known)
    limits = _limits(known, slots)
    above = [limits[name] for name in classes.above(klass)]
    own = limits.get(klass, {})
    return max(
        int(own.get("headroom", 0)),
        int(own.get("reserved_vip", 0)),
        *(max(_reserved(each), _kept_lately(each, slots)) for each in above),
    )


def _limits(pool: Pool | None, slots: int) -> dict[str, dict[str, float]]:
    """Returns limits by class; the installation's for a pool that is gone."""
    policy, shares = (pool.policy, pool.shares_processors) if pool else (PoolPolicy(), False)
    return {
        name: limits_of(policy, name, slots, shares_processors=shares) for name in classes.CLASSES
    }


def slots_of(pool: Pool) -> int:
    """Returns the slots of the engines that can be asked: others are not free."""
    return sum(engine.config.slots for engine in _available(pool) or pool.engines)


def _available(pool: Pool) -> list[Engine]:
    cached, now = _up.get(pool.name), time.monotonic()
    if cached is None or cached[0] is not pool or now - cached[1] > LOOK_S:
        up = [engine for engine in pool.engines if reachability.available(engine)]
        cached = _up[pool.name] = pool, now, up
    return cached[2]


def _rules(name: str, pool: Pool | None, slots: int) -> str:
    """Returns the rules, cached for a policy because each pop needs them."""
    holds = pool, tuple(classes.CLASSES.values()), settings.QUEUE_LIMITS, slots
    cached = _cached_rules.get(name)
    if cached is None or cached[0] != holds:
        rules = [_rule(each, slots) for each in _limits(pool, slots).values()]
        cached = _cached_rules[name] = holds, " ".join(rules)
    return cached[1]


def _rule(limits: Mapping[str, float], slots: int) -> str:
    share, after_ms = round(limits["share"] * 1000), round(limits["share_after_s"] * 1000)
    ageing_ms, headroom = round(limits["ageing_s"] * 1000), int(limits["headroom"])
    vip = int(limits["reserved_vip"])
    lately = _kept_lately(limits, slots)
    return f"{share}|{after_ms}|{ageing_ms}|{_reserved(limits)}|{headroom}|{vip}|{lately}"


def _kept_lately(limits: Mapping[str, float], slots: int) -> int:
    return max(int(limits["headroom"]), slots - int(limits["lower_slots"]))


def _reserved(limits: Mapping[str, float]) -> int:
    """Returns the reserved slots; those for VIPs of a class are not for lower classes either."""
    return int(max(limits["reserved"], limits["reserved_vip"]))
