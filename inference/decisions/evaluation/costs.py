"""Costs of decisions: outcomes at two thresholds, and the cost of each single threshold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.decisions.evaluation.ranking import Step
from inference.decisions.spec import Thresholds

POINTS = 60  # of a curve


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows by outcome, positives and negatives apart."""

    approved_good: int
    approved_bad: int
    reviewed_good: int
    reviewed_bad: int
    blocked_good: int
    blocked_bad: int

    @classmethod
    def of(
        cls, scores: Sequence[float], labels: Sequence[int], thresholds: Thresholds
    ) -> "Outcomes":
        counts = [[0, 0], [0, 0], [0, 0]]
        for score, label in zip(scores, labels, strict=True):
            level = 2 if score >= thresholds.block else int(score >= thresholds.review)
            counts[level][label] += 1
        return cls(*counts[0], *counts[1], *counts[2])

    @property
    def rows(self) -> int:
        return sum(asdict(self).values())

    @property
    def positives(self) -> int:
        return self.approved_bad + self.reviewed_bad + self.blocked_bad

    def cost(self, thresholds: Thresholds) -> float:
        """Returns what all cost together. A person who reviews is taken to be right."""
        return (
            self.approved_bad * thresholds.cost_missed
            + self.blocked_good * thresholds.cost_false_alarm
            + (self.reviewed_good + self.reviewed_bad) * thresholds.cost_review
        )


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Two outcomes alone: from `threshold` on a row is an alarm."""

    threshold: float
    accuracy: float
    balanced_accuracy: float
    recall: float
    false_alarms: float  # part of the negatives
    precision: float
    cost: float  # of a row


def at_threshold(steps: Sequence[Step], threshold: float, costs: Thresholds) -> AtThreshold:
    hits, alarms = next(
        ((step.hits, step.alarms) for step in reversed(steps) if step.score >= threshold), (0, 0)
    )
    return _at(threshold, hits, alarms, steps[-1], costs)


def curve(steps: Sequence[Step], costs: Thresholds) -> list[AtThreshold]:
    """Returns some of the thresholds that make a difference, the highest first."""
    every = max(1, len(steps) // POINTS)
    chosen = [*steps[::every], steps[-1]] if steps else []
    return [_at(step.score, step.hits, step.alarms, steps[-1], costs) for step in chosen]


def cheapest(steps: Sequence[Step], costs: Thresholds) -> AtThreshold:
    """Returns the single threshold with the least cost on these rows; above 1 is *never*."""
    never = _at(1.01, 0, 0, steps[-1], costs)
    points = [_at(step.score, step.hits, step.alarms, steps[-1], costs) for step in steps]
    return min([never, *points], key=lambda point: point.cost)


def plain(point: AtThreshold) -> dict[str, Any]:
    return {name: round(value, 6) for name, value in asdict(point).items()}


def _at(threshold: float, hits: int, alarms: int, last: Step, costs: Thresholds) -> AtThreshold:
    positives, negatives = last.hits, last.alarms
    rows = max(1, positives + negatives)
    recall = hits / positives if positives else 0.0
    false_alarms = alarms / negatives if negatives else 0.0
    missed = positives - hits
    return AtThreshold(
        threshold,
        accuracy=(hits + negatives - alarms) / rows,
        balanced_accuracy=(recall + 1 - false_alarms) / 2,
        recall=recall,
        false_alarms=false_alarms,
        precision=hits / (hits + alarms) if hits + alarms else 0.0,
        cost=(missed * costs.cost_missed + alarms * costs.cost_false_alarm) / rows,
    )
