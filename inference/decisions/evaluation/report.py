"""The report of a policy on labelled rows. It holds figures alone: no row, no text.

A side is one way to score the same rows: the policy as it decides, its model alone, its tree alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from inference.decisions.evaluation import costs, drift, probabilities, ranking
from inference.decisions.evaluation.intervals import draws, interval
from inference.decisions.evaluation.ranking import Ranking
from inference.decisions.spec import Thresholds
from inference.evaluation.statistics import Interval, wilson

FORMAT = "forebay-decision-evaluation/1"
POLICY, MODEL, TREE = SIDES = ("policy", "model", "tree")
GROUPS_AT = 100
HIGHER, LOWER = "higher", "lower"
SOURCES = {
    "bootstrap": "Efron (1979), percentile bootstrap over rows, 95 %",
    "auc": "Hanley and McNeil (1982), ties count half",
    "calibration_error": f"{probabilities.BINS} bins of equal width",
    "group_precision": f"of the {GROUPS_AT} groups with the highest scores, those with a positive",
}
Report = dict[str, Any]
Of = Callable[[Sequence[int] | None], float]


class NoFigures(ValueError):
    """The rows say nothing. The message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows as a report needs them. `groups` is empty, or has a card or the like of each row."""

    labels: Sequence[int]
    groups: Sequence[str] = ()

    @property
    def rate(self) -> float:
        return sum(self.labels) / len(self.labels)


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    better: str
    of: Of
    never: float | None  # the figure of approving everything


def build(
    about: Report,
    rows: Labelled,
    sides: Mapping[str, Sequence[float]],
    thresholds: Thresholds,
    inputs: Mapping[str, Sequence[Any]] | None = None,
    named: Mapping[str, Collection[Any]] | None = None,
) -> Report:
    """Returns the report. `sides` begins with the policy's. Raises NoFigures.

    `inputs` has the values of each input, whose distributions later ones are compared with;
    `named` has those that the policy's schema names.
    """
    if len(set(rows.labels)) < 2:
        raise NoFigures("The file needs rows of both outcomes.")
    drawn = draws(len(rows.labels))
    first = next(iter(sides.values()))
    return {
        "format": FORMAT,
        **about,
        "rows": len(rows.labels),
        "positives": sum(rows.labels),
        "rate": round(rows.rate, 6),
        "thresholds": {"review": thresholds.review, "block": thresholds.block},
        "sides": {name: _side(rows, scores, thresholds, drawn) for name, scores in sides.items()},
        "never": _never(rows, thresholds),
        "differences": {
            name: _difference(rows, first, scores, drawn)
            for name, scores in list(sides.items())[1:]
        },
        "distributions": _distributions(first, inputs or {}, named or {}),
        "methods": SOURCES,
    }


def _side(
    rows: Labelled, scores: Sequence[float], thresholds: Thresholds, drawn: list[list[int]]
) -> Report:
    steps = Ranking.of(scores, rows.labels).steps()
    outcomes = costs.Outcomes.of(scores, rows.labels, thresholds)
    figures = {
        figure.name: _with_interval(figure, drawn) for figure in _figures(rows, scores, thresholds)
    }
    return {
        "figures": figures,
        "outcomes": asdict(outcomes),
        "cost": round(outcomes.cost(thresholds) / outcomes.rows, 6),
        "at_block": costs.plain(costs.at_threshold(steps, thresholds.block, thresholds)),
        "cheapest": costs.plain(costs.cheapest(steps, thresholds)),
        "curve": [costs.plain(point) for point in costs.curve(steps, thresholds)],
        "reliability": [
            {**asdict(each), "low": low, "high": high}
            for each, (low, high) in _reliability(scores, rows.labels)
        ],
    }


def _figures(rows: Labelled, scores: Sequence[float], thresholds: Thresholds) -> list[_Figure]:
    labels, ranked = rows.labels, Ranking.of(scores, rows.labels)

    def at_block(counts: Sequence[int] | None) -> costs.AtThreshold:
        return costs.at_threshold(ranked.steps(counts), thresholds.block, thresholds)

    figures = [
        _Figure("auc", HIGHER, lambda n: ranking.auc(ranked.steps(n)), 0.5),
        _Figure(
            "average_precision", HIGHER, lambda n: ranking.average_precision(ranked.steps(n)),
            rows.rate,
        ),
        _Figure("recall_at_1_percent", HIGHER, lambda n: ranking.recall_at(ranked.steps(n)), 0.0),
        _Figure("accuracy", HIGHER, lambda n: at_block(n).accuracy, 1 - rows.rate),
        _Figure("balanced_accuracy", HIGHER, lambda n: at_block(n).balanced_accuracy, 0.5),
        _Figure("brier", LOWER, lambda n: probabilities.brier(scores, labels, n), rows.rate),
        _Figure(
            "calibration_error", LOWER,
            lambda n: probabilities.calibration_error(scores, labels, n), rows.rate,
        ),
    ]  # fmt: skip
    if rows.groups:
        figures.append(_Figure("group_precision", HIGHER, _groups(rows, scores), None))
    return figures


def _groups(rows: Labelled, scores: Sequence[float]) -> Of:
    def of(counts: Sequence[int] | None) -> float:
        chosen = [at for at in range(len(scores)) if counts is None or counts[at]]
        return ranking.precision_of_groups(
            [scores[at] for at in chosen],
            [rows.labels[at] for at in chosen],
            [rows.groups[at] for at in chosen],
            GROUPS_AT,
        )

    return of


def _with_interval(figure: _Figure, drawn: list[list[int]]) -> Report:
    low, high = interval([figure.of(counts) for counts in drawn])
    return {
        "value": round(figure.of(None), 6), "low": round(low, 6), "high": round(high, 6),
        "better": figure.better, "never": figure.never,
    }  # fmt: skip


def _difference(
    rows: Labelled, ours: Sequence[float], theirs: Sequence[float], drawn: list[list[int]]
) -> Report:
    """Returns the policy's AUC minus another's, with the same rows drawn for both."""
    one, other = Ranking.of(ours, rows.labels), Ranking.of(theirs, rows.labels)

    def apart(counts: Sequence[int] | None) -> float:
        return ranking.auc(one.steps(counts)) - ranking.auc(other.steps(counts))

    low, high = interval([apart(counts) for counts in drawn])
    return {"auc": {"value": round(apart(None), 6), "low": round(low, 6), "high": round(high, 6)}}


def _never(rows: Labelled, thresholds: Thresholds) -> Report:
    """Returns what approving everything gives."""
    return {
        "accuracy": round(1 - rows.rate, 6),
        "cost": round(rows.rate * thresholds.cost_missed, 6),
    }


def _reliability(
    scores: Sequence[float], labels: Sequence[int]
) -> list[tuple[probabilities.Bin, Interval]]:
    bins = probabilities.bins_of(scores, labels)
    return [(each, wilson(each.rate * each.rows, each.rows)) for each in bins]


def _distributions(
    scores: Sequence[float],
    inputs: Mapping[str, Sequence[Any]],
    named: Mapping[str, Collection[Any]],
) -> Report:
    """Returns the shares of scores and inputs, by which drift is measured later."""
    of_inputs = {
        f"input.{name}": drift.distribution_of(values, named.get(name, ()))
        for name, values in inputs.items()
    }
    distributions = {"score": drift.distribution_of(scores), **of_inputs}
    return {name: msgspec.to_builtins(each) for name, each in distributions.items()}
