"""Compares the challenger of an assistant with its live version, since both answer.

A person always meets the same version, and their dialogues are alike: each person counts once, with
their first dialogue since then. So the samples are independent, and the intervals hold.
"""

from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import Any

from django.db.models import Avg, Count, Exists, ExpressionWrapper, F, OuterRef, Q, StdDev
from django.db.models.fields import FloatField
from django.db.models.functions import Extract
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.dialogues.measures.cohort import HANDED_OVER, OVER, RESOLVED
from inference.evaluation.statistics import Z, wilson, wilson_difference
from inference.models import ActionCall, Assistant, Dialogue
from inference.models.assistants.action_call import CallState

MOST_PEOPLE = 100_000
FEWEST = 30  # people of each version: below, nothing is said about a difference
BETTER, WORSE, CHANCE, TOO_FEW = "better", "worse", "chance", "too_few"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The people of one version who count for a figure: a share's successes, or a mean."""

    count: int
    value: float  # share or mean
    deviation: float | None = None  # of the mean; None: it is a share

    @property
    def successes(self) -> int:
        return round(self.value * self.count)

    @property
    def estimate(self) -> Estimate | None:
        """Returns None without values, and for a mean of one: its deviation is unknown."""
        if self.count < (1 if self.deviation is None else 2):
            return None
        if self.deviation is None:
            return Estimate(self.value, *wilson(self.successes, self.count))
        half = Z * self.deviation / sqrt(self.count)
        return Estimate(self.value, self.value - half, self.value + half)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of both versions. `sign` is 1 where more is better, else -1."""

    name: str
    sign: int
    live: Sample
    challenger: Sample

    @property
    def is_share(self) -> bool:
        return self.live.deviation is None

    @property
    def difference(self) -> Estimate | None:
        """Returns the challenger's value minus the live version's."""
        ours, theirs = self.challenger, self.live
        if ours.estimate is None or theirs.estimate is None:
            return None
        value = ours.value - theirs.value
        if ours.deviation is None or theirs.deviation is None:
            samples = (ours.successes, ours.count), (theirs.successes, theirs.count)
            return Estimate(value, *wilson_difference(*samples))
        half = Z * sqrt(ours.deviation**2 / ours.count + theirs.deviation**2 / theirs.count)
        return Estimate(value, value - half, value + half)

    @property
    def verdict(self) -> str:
        """Returns whether the challenger is better or worse by more than chance."""
        difference = self.difference
        if difference is None or min(self.live.count, self.challenger.count) < FEWEST:
            return TOO_FEW
        if difference.low <= 0 <= difference.high:
            return CHANCE
        return BETTER if difference.value * self.sign > 0 else WORSE


@dataclass(frozen=True, slots=True)
class Comparison:
    since: datetime
    live: int
    challenger: int
    measures: list[Measure]

    @property
    def resolution(self) -> Measure:
        """Returns the figure that decides."""
        return self.measures[0]


SHARES: dict[str, int] = {"resolved": 1, "handed_over": -1, "action_problem": -1}
MEANS: dict[str, int] = {"turns": -1, "resolve_s": -1, "satisfaction": 1}
NAMES: dict[str, Promise] = {
    "resolved": _("Resolved by the assistant"),
    "handed_over": _("Handed over"),
    "action_problem": _("An action refused, or its outcome unknown"),
    "turns": _("Turns"),
    "resolve_s": _("Seconds to resolve"),
    "satisfaction": _("Satisfaction, 1 to 5"),
}


def compared(assistant: Assistant) -> Comparison | None:
    """Returns the comparison; None without a challenger."""
    live, challenger, since = assistant.live, assistant.challenger, assistant.challenged_at
    if live is None or challenger is None or since is None:
        return None
    rows = _by_version(assistant, (live, challenger), since)
    sides = rows.get(live, {}), rows.get(challenger, {})
    shares = [Measure(n, sign, *(_share(side, n) for side in sides)) for n, sign in SHARES.items()]
    means = [Measure(n, sign, *(_mean(side, n) for side in sides)) for n, sign in MEANS.items()]
    return Comparison(since, live, challenger, shares + means)


def _by_version(
    assistant: Assistant, versions: tuple[int, int], since: datetime
) -> dict[int, dict[str, Any]]:
    own = Dialogue.objects.filter(
        tenant_id=assistant.tenant_id,
        assistant_id=assistant.pk,
        version__in=versions,
        created_at__gte=since,
        turns_count__gt=0,
    )
    first = own.order_by("person_id", "created_at", "pk").distinct("person_id")[:MOST_PEOPLE]
    rows: Any = Dialogue.objects.filter(OVER, pk__in=first.values("pk"))
    counted = rows.annotate(passed=_PASSED).values("version").annotate(**_aggregates())
    return {row["version"]: row for row in counted.order_by()}


_PASSED = ExpressionWrapper(
    Extract(F("answered_at") - F("created_at"), "epoch"), output_field=FloatField()
)


def _aggregates() -> dict[str, Any]:
    problems = ActionCall.objects.filter(
        tenant_id=OuterRef("tenant_id"),
        dialogue_id=OuterRef("pk"),
        state__in=(CallState.FAILED, CallState.UNKNOWN),
    )
    values: dict[str, tuple[str, Q]] = {
        "turns": ("turns_count", Q()),
        "resolve_s": ("passed", RESOLVED),
        "satisfaction": ("satisfaction", Q(satisfaction__isnull=False)),
    }
    aggregates: dict[str, Any] = {
        "people": Count("pk"),
        "resolved": Count("pk", filter=RESOLVED),
        "handed_over": Count("pk", filter=HANDED_OVER),
        "action_problem": Count("pk", filter=Q(Exists(problems))),
    }
    for name, (field, counts) in values.items():
        aggregates |= {
            f"{name}_n": Count(field, filter=counts),
            f"{name}_mean": Avg(field, filter=counts),
            f"{name}_deviation": StdDev(field, sample=True, filter=counts),
        }
    return aggregates


def _share(side: dict[str, Any], name: str) -> Sample:
    count = side.get("people", 0)
    return Sample(count, side[name] / count if count else 0.0)


def _mean(side: dict[str, Any], name: str) -> Sample:
    """Returns the mean of a side."""
    count = side.get(f"{name}_n", 0)
    mean, deviation = side.get(f"{name}_mean") or 0.0, side.get(f"{name}_deviation") or 0.0
    return Sample(count, float(mean), float(deviation))
