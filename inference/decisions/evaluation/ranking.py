"""Figures of the order that scores give to rows: what counts is who is above whom.

Rows are sorted once; a bootstrap then only counts how often each of them was drawn. Rows with one
score are one step: their order among themselves says nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Counts = Sequence[int]  # how often each row counts, in the order of the file
MOST_FALSE_ALARMS = 0.01


@dataclass(frozen=True, slots=True)
class Step:
    """Counts from the highest score down to this one."""

    score: float
    hits: int  # positives so far
    alarms: int  # negatives so far
    new_hits: int
    new_alarms: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """`order` are the numbers of the rows, the highest score first."""

    scores: Sequence[float]
    labels: Sequence[int]
    order: Sequence[int]

    @classmethod
    def of(cls, scores: Sequence[float], labels: Sequence[int]) -> "Ranking":
        return cls(scores, labels, sorted(range(len(scores)), key=lambda at: -scores[at]))

    def steps(self, counts: Counts | None = None) -> list[Step]:
        return list(self._steps(counts))

    def _steps(self, counts: Counts | None) -> Iterator[Step]:
        hits = alarms = new_hits = new_alarms = 0
        last = len(self.order) - 1
        for at, row in enumerate(self.order):
            many = 1 if counts is None else counts[row]
            new_hits += many * self.labels[row]
            new_alarms += many * (1 - self.labels[row])
            if at == last or self.scores[self.order[at + 1]] != self.scores[row]:
                hits, alarms = hits + new_hits, alarms + new_alarms
                yield Step(self.scores[row], hits, alarms, new_hits, new_alarms)
                new_hits = new_alarms = 0


def auc(steps: Sequence[Step]) -> float:
    """Returns the chance that a positive is above a negative (Hanley and McNeil, 1982)."""
    hits, alarms = _totals(steps)
    if not hits or not alarms:
        return 0.5
    below = sum(step.new_alarms * (step.hits - step.new_hits / 2) for step in steps)
    return below / (hits * alarms)


def average_precision(steps: Sequence[Step]) -> float:
    """Returns the precision at each positive, on average."""
    hits, _alarms = _totals(steps)
    if not hits:
        return 0.0
    return sum(s.new_hits * s.hits / (s.hits + s.alarms) for s in steps if s.new_hits) / hits


def recall_at(steps: Sequence[Step], false_alarms: float = MOST_FALSE_ALARMS) -> float:
    """Returns the part of the positives above a threshold that so many negatives reach."""
    hits, alarms = _totals(steps)
    reached = [step.hits for step in steps if step.alarms <= false_alarms * alarms]
    return reached[-1] / hits if reached and hits else 0.0


def _totals(steps: Sequence[Step]) -> tuple[int, int]:
    return (steps[-1].hits, steps[-1].alarms) if steps else (0, 0)


def precision_of_groups(
    scores: Sequence[float], labels: Sequence[int], groups: Sequence[str], most: int
) -> float:
    """Returns the part with a positive among the `most` groups of the highest scores.

    A group, such as a card, has the score of its highest row: this is *card precision@100* of the
    Fraud Detection Handbook over the whole file.
    """
    best: dict[str, float] = {}
    bad: set[str] = set()
    for score, label, group in zip(scores, labels, groups, strict=True):
        best[group] = max(score, best.get(group, 0.0))
        if label:
            bad.add(group)
    chosen = sorted(best, key=lambda group: (-best[group], group))[:most]
    return sum(group in bad for group in chosen) / len(chosen) if chosen else 0.0
