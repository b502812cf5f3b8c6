"""Figures of dialogues, as aggregates of PostgreSQL."""

from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Aggregate, Avg, Count, F, FloatField, Q
from django.db.models.functions import Extract

from inference.dialogues.measures.cohort import CONFIRMED, HANDED_OVER, OVER, RESOLVED
from inference.evaluation.statistics import Interval, wilson


class Percentile(Aggregate):
    """Returns a percentile of the values, interpolated: PostgreSQL's percentile_cont."""

    function = "percentile_cont"
    template = "%(function)s(%(part)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: Any, part: float, filter: Q | None = None) -> None:
        super().__init__(expression, filter=filter, part=part)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of some dialogues. Counts are of those that are over, but `under_way`."""

    dialogues: int = 0
    under_way: int = 0
    resolved: int = 0
    confirmed: int = 0  # of `resolved`: the person says so
    handed_over: int = 0
    turns: float | None = None  # mean
    turns_resolved: float | None = None  # mean of those that are resolved
    turns_p95: float | None = None
    resolve_p50_s: float | None = None  # from the beginning to the last answer
    resolve_p95_s: float | None = None
    rated: int = 0
    satisfaction: float | None = None  # mean, 1 to 5
    answers: int = 0
    answer_p50_s: float | None = None  # from a message to its whole answer
    answer_p95_s: float | None = None

    @property
    def unresolved(self) -> int:
        return self.dialogues - self.resolved - self.handed_over

    @property
    def resolution(self) -> Interval:
        return wilson(self.resolved, self.dialogues)

    @property
    def hand_over(self) -> Interval:
        return wilson(self.handed_over, self.dialogues)


def of_dialogues() -> dict[str, Any]:
    """Returns the aggregates over dialogues, named as the figures."""
    resolved = OVER & RESOLVED
    passed = Extract(F("answered_at") - F("created_at"), "epoch")
    return {
        "dialogues": Count("pk", filter=OVER),
        "under_way": Count("pk", filter=~OVER),
        "resolved": Count("pk", filter=resolved),
        "confirmed": Count("pk", filter=OVER & CONFIRMED),
        "handed_over": Count("pk", filter=HANDED_OVER),
        "turns": Avg("turns_count", filter=OVER),
        "turns_resolved": Avg("turns_count", filter=resolved),
        "turns_p95": Percentile("turns_count", 0.95, OVER),
        "resolve_p50_s": Percentile(passed, 0.5, resolved),
        "resolve_p95_s": Percentile(passed, 0.95, resolved),
        "rated": Count("satisfaction"),
        "satisfaction": Avg("satisfaction"),
    }


def of_turns() -> dict[str, Any]:
    """Returns the aggregates over turns with an answer."""
    passed = Extract(F("ended_at") - F("created_at"), "epoch")
    return {
        "answers": Count("pk"),
        "answer_p50_s": Percentile(passed, 0.5),
        "answer_p95_s": Percentile(passed, 0.95),
    }


NAMES = tuple(field.name for field in fields(Figures))


def made(*rows: dict[str, Any]) -> Figures:
    """Returns figures from rows of aggregates, whose other columns are left out."""
    values = {name: row[name] for row in rows for name in NAMES if name in row}
    return Figures(**values)
