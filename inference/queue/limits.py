"""What a pool's queue allows each class: how many wait, their share, and slots kept for them."""

import time
from collections.abc import Mapping
from math import isqrt
from typing import Any

from django.conf import settings

from inference import classes
from inference.engines import Pool, pools, reachable
from inference.policy import Policy

NO_POLICY = Policy()
SLOTS_TO_ONE = 8  # of lower classes beside real-time requests, where streams slow each other
LOOK_S = 0.25  # an engine that goes or comes is seen after so long
_known: dict[str, tuple[tuple[Any, ...], str]] = {}  # rules by pool
_slots: dict[str, tuple[Pool, float, int]] = {}  # by pool, and when they were counted


def limits_of(
    policy: Policy, klass: str, slots: int = 0, *, shares_processors: bool = False
) -> dict[str, float]:
    """The pool's own, else the installation's, else those of the class (inference/policy.py)."""
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
    said = {**settings.QUEUE_LIMITS.get(klass, {}), **policy.limits.get(klass, {})}
    usual = _usual_headroom(slots) if own.has_headroom else 0
    if own.has_headroom and shares_processors:
        by_default["lower_slots"] = max(1, slots // SLOTS_TO_ONE)
    return {**by_default, "headroom": min(usual, said.get("reserved", usual)), **said}


def _usual_headroom(slots: int) -> int:
    """As much as their number varies by chance of requests that come one by one, less one: so a
    pool of three slots or fewer has none, and one of four keeps three in use.
    """
    return max(0, isqrt(slots) - 1)


def turns(pool: str) -> tuple[str, str]:
    """As pop.lua wants them: the rules of each class, and the pool's slots with what drains."""
    found = pools().get(pool)
    slots = slots_of(found) if found else 0
    policy, shares = (found.policy, found.shares_processors) if found else (NO_POLICY, False)
    rules = _rules(pool, policy, slots, shares)
    if found and slots and found.draining:
        return rules, " ".join([str(slots), *(engine.config.id for engine in found.draining)])
    return rules, str(slots or "")


def kept_free(pool: str) -> dict[str, int]:
    """Slots that lower classes leave free, by class: while it has had requests lately."""
    found = pools().get(pool)
    if found is None:
        return {}
    slots, shares = slots_of(found), found.shares_processors
    limits = {
        name: limits_of(found.policy, name, slots, shares_processors=shares)
        for name in classes.CLASSES
    }
    free = {name: max(_reserved(each), _kept_lately(each, slots)) for name, each in limits.items()}
    return {name: number for name, number in free.items() if number}


def slots_of(pool: Pool) -> int:
    """Of the engines that can be asked: slots of others are not free."""
    known, now = _slots.get(pool.name), time.monotonic()
    if known is None or known[0] is not pool or now - known[1] > LOOK_S:
        up = [engine for engine in pool.engines if reachable.available(engine)]
        counted = sum(engine.config.slots for engine in up or pool.engines)
        known = _slots[pool.name] = pool, now, counted
    return known[2]


def _rules(pool: str, policy: Policy, slots: int, shares_processors: bool) -> str:
    """Asked for with each pop: they are made once for a policy."""
    holds = policy, tuple(classes.CLASSES.values()), settings.QUEUE_LIMITS, slots, shares_processors
    known = _known.get(pool)
    if known is None or known[0] != holds:
        limits = [
            limits_of(policy, name, slots, shares_processors=shares_processors)
            for name in classes.CLASSES
        ]
        known = _known[pool] = holds, " ".join(_rule(each, slots) for each in limits)
    return known[1]


def _rule(limits: Mapping[str, float], slots: int) -> str:
    share, after_ms = round(limits["share"] * 1000), round(limits["share_after_s"] * 1000)
    ageing_ms, headroom = round(limits["ageing_s"] * 1000), int(limits["headroom"])
    vip = int(limits["reserved_vip"])
    lately = _kept_lately(limits, slots)
    return f"{share}|{after_ms}|{ageing_ms}|{_reserved(limits)}|{headroom}|{vip}|{lately}"


def _kept_lately(limits: Mapping[str, float], slots: int) -> int:
    """Slots that lower classes leave free while the class comes."""
    return max(int(limits["headroom"]), slots - int(limits["lower_slots"]))


def _reserved(limits: Mapping[str, float]) -> int:
    """What is for VIPs of a class is not for lower classes either."""
    return int(max(limits["reserved"], limits["reserved_vip"]))
