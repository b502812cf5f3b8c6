"""Decides which engines of a pool rest: few full batches take less energy than many small ones.

An engine that rests drains, with its server loaded and idle. It is woken before the others are
full, so that nothing waits for it. Two thresholds and Peaks keep it from swinging: an engine rests
only after the load was low for `hold_s`, and so low that the others are not near being full.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Requests that come at random exceed their average by more square roots of it in 2 % of the time.
BURST = 2.0


@dataclass(frozen=True, slots=True)
class Rules:
    """`full`: the share of the slots in use above which one more engine is woken.

    An engine rests while the others would be no fuller than `margin` of that.
    """

    full: float = 0.58
    hold_s: float = 300.0
    least: int = 1  # engines that are always awake
    margin: float = 3 / 4
    spare: int = 1  # loaded engines beyond those that the load needs: 1 or 0
    burst: float = 0.0  # loaded slots beyond the load, in square roots of the load

    @property
    def calm(self) -> float:
        return self.full * self.margin


@dataclass(frozen=True, slots=True)
class Member:
    """An engine of the pool. `works`: nothing says that it does not answer.

    `is_broken`: it does not work, and not because its server is stopped or starts.
    """

    name: str
    slots: int
    rests: bool = False
    works: bool = True
    is_broken: bool = False


class Plan(NamedTuple):
    wake: tuple[str, ...] = ()
    rest: str = ""


def plan(rules: Rules, members: Sequence[Member], demand: int, peak: float | None) -> Plan:
    """Returns what to do with a pool's engines, in the order of their positions.

    `demand` is what runs and waits now, `peak` its highest in the last `hold_s`. The first engines
    stay awake, the last ones rest.
    """
    awake = [member for member in members if member.works and not member.rests]
    if wake := _to_wake(rules, awake, members, demand):
        return Plan(wake=wake)
    if peak is None or len(awake) <= rules.least:
        return Plan()
    *others, last = awake
    fits = peak <= rules.calm * sum(member.slots for member in others)
    return Plan(rest=last.name) if fits else Plan()


def loaded(rules: Rules, members: Sequence[Member], load: float) -> int:
    """Returns how many of the first engines need a loaded server.

    They are those that serve the load and a burst, a spare (or none), which takes requests within
    seconds, and any broken ones among them. Servers start by the present load, and stop by its
    peak.
    """
    slots = count = 0
    burst = load + rules.burst * math.sqrt(load)
    for number, member in enumerate(members, start=1):
        if member.is_broken:
            continue
        if count >= rules.least and load <= rules.full * slots and burst <= slots:
            return number - 1 + rules.spare
        slots, count = slots + member.slots, count + 1
    return len(members)


def _to_wake(
    rules: Rules, awake: Sequence[Member], members: Sequence[Member], demand: int
) -> tuple[str, ...]:
    slots, count, names = sum(member.slots for member in awake), len(awake), []
    for member in members:
        if count >= rules.least and demand <= rules.full * slots:
            break
        if member.rests and member.works:
            names.append(member.name)
            slots, count = slots + member.slots, count + 1
    return tuple(names)
