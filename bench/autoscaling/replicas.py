"""What a HorizontalPodAutoscaler (autoscaling/v2) decides, as Kubernetes documents its algorithm.

Each SYNC_S: of each metric ceil(pods x value / target), nothing within 10 % of the target; the most
of them; not fewer than were recommended within the window of scaling down; no faster than the
policies allow; between the least and the most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

SYNC_S, TOLERANCE = 15.0, 0.1


@dataclass(frozen=True, slots=True)
class PerPod:
    """A metric of the type Pods, or a sum over pods: what each that is ready has."""

    target: float
    values: Sequence[float]
    loading: int = 0  # pods that have none yet

    def wants(self, now: int) -> int:
        if not self.values:
            return now
        ratio = sum(self.values) / len(self.values) / self.target
        if not self.loading:
            return now if _near(ratio) else ceil(ratio * len(self.values))
        # Pods without a value count as idle before more, as at the target before fewer.
        stand_in = 0.0 if ratio > 1 else self.target
        pods = len(self.values) + self.loading
        careful = (sum(self.values) + stand_in * self.loading) / pods / self.target
        turned = (ratio > 1) != (careful > 1)
        return now if _near(careful) or turned else ceil(careful * pods)


@dataclass(frozen=True, slots=True)
class Of:
    """A metric of the type External with a Value as target."""

    target: float
    value: float
    ready: int

    def wants(self, now: int) -> int:
        ratio = self.value / self.target
        return now if _near(ratio) else ceil(ratio * self.ready)


Metric = PerPod | Of


@dataclass(slots=True)
class Autoscaler:
    """`behavior`: as an object has it."""

    least: int
    most: int
    behavior: Mapping[str, Any]
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)  # when, by how many

    def decide(self, at: float, now: int, metrics: Sequence[Metric]) -> int:
        """How many pods there should be. `now`: how many are asked for; `at` in seconds."""
        wanted = max((metric.wants(now) for metric in metrics), default=now)
        wanted = min(self.most, max(self.least, wanted))
        decided = self._limited(at, now, self._stable(at, now, wanted))
        if decided != now:
            self._changes.append((at, decided - now))
        return decided

    def _stable(self, at: float, now: int, wanted: int) -> int:
        up, down = (self.behavior[way]["stabilizationWindowSeconds"] for way in _WAYS)
        self._recommended.append((at, wanted))
        self._recommended = [each for each in self._recommended if each[0] > at - max(up, down, 1)]
        lowest = min(n for when, n in self._recommended if when > at - up or when == at)
        highest = max(n for when, n in self._recommended if when > at - down or when == at)
        return max(lowest, now) if wanted > now else min(highest, now) if wanted < now else now

    def _limited(self, at: float, now: int, wanted: int) -> int:
        if wanted > now:
            return min(wanted, max(now, int(self._bound(at, now, "scaleUp"))))
        if wanted < now:
            return max(wanted, min(now, int(self._bound(at, now, "scaleDown"))))
        return now

    def _bound(self, at: float, now: int, way: str) -> float:
        """The most, or the fewest, that the policies together allow (selectPolicy Max)."""
        up = way == "scaleUp"
        found = [self._by(policy, at, now, up=up) for policy in self.behavior[way]["policies"]]
        return max(found, default=inf) if up else min(found, default=-inf)

    def _by(self, policy: Mapping[str, Any], at: float, now: int, *, up: bool) -> float:
        since = at - policy["periodSeconds"]
        recent = sum(by for when, by in self._changes if when > since and (by > 0) == up)
        began, sign = now - recent, 1 if up else -1
        value = float(policy["value"])
        if policy["type"] == "Pods":
            return began + sign * value
        change = began * (1 + sign * value / 100)
        return ceil(change) if up else change


_WAYS = ("scaleUp", "scaleDown")


def _near(ratio: float) -> bool:
    return abs(ratio - 1) <= TOLERANCE
