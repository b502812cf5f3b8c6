"""Figures of the study: model, trees and both together, on rows that none of them has seen.

Every threshold, calibration and weight comes from the calibration rows alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.fraud.rows import Rows, Split
from config.demo.payment_inputs import NUMBERS
from inference.decisions import boosting, calibration, stacking
from inference.decisions.calibration import logit, sigmoid
from inference.decisions.evaluation import costs, ranking
from inference.decisions.evaluation.probabilities import brier, calibration_error
from inference.decisions.evaluation.ranking import Ranking
from inference.decisions.spec import Calibration, Thresholds
from inference.decisions.tree import Tree, probability

Scores = dict[str, list[float]]  # by part: calibration, test, balanced
PARTS = ("calibration", "test", "balanced")
COSTS = Thresholds(0.1, 0.5)
CARDS = 100


@dataclass(frozen=True, slots=True)
class Scorer:
    """Calibrated scores of each part, and the thresholds that the calibration rows chose."""

    scores: Scores
    accurate: float
    balanced: float


def trees(rows: Split) -> dict[str, Tree]:
    """Returns a tree of the model's rows, and one of all rows of the time before."""
    return {"tree": _tree(rows.train), "tree, all rows": _tree(rows.early)}


def _tree(rows: Rows) -> Tree:
    return boosting.fit([{name: row[name] for name in NUMBERS} for row in rows.inputs], rows.labels)


def scores_of(tree: Tree, rows: Split) -> Scores:
    return {part: [probability(tree, row) for row in getattr(rows, part).inputs] for part in PARTS}


def stacked(model: Scores, tree: Scores, rows: Split) -> Scores:
    """Returns the scores of both together, weighted by the calibration rows."""
    labels = rows.calibration.labels
    weights = stacking.fit(model["calibration"], tree["calibration"], labels)

    def both(part: str) -> list[float]:
        pairs = zip(model[part], tree[part], strict=True)
        return [
            sigmoid(weights.intercept + weights.model * logit(a) + weights.tree * logit(b))
            for a, b in pairs
        ]

    return {part: both(part) for part in PARTS}


def calibrated(raw: Scores, rows: Split) -> Scorer:
    labels = [label == 1 for label in rows.calibration.labels]
    fitted: Calibration = calibration.fit(
        "platt", raw["calibration"], labels, model="study", model_version="", at=datetime.now(UTC)
    )
    scores = {part: [calibration.apply(fitted, p) for p in raw[part]] for part in PARTS}
    steps = Ranking.of(scores["calibration"], rows.calibration.labels).steps()
    points = [costs.at_threshold(steps, step.score, COSTS) for step in steps]
    return Scorer(
        scores,
        accurate=max(points, key=lambda point: point.accuracy).threshold,
        balanced=max(points, key=lambda point: point.balanced_accuracy).threshold,
    )


def figures(scorer: Scorer, rows: Split) -> dict[str, Any]:
    """Returns the figures of a scorer on both tests."""
    test, scores = rows.test, scorer.scores["test"]
    steps = Ranking.of(scores, test.labels).steps()
    even = Ranking.of(scorer.scores["balanced"], rows.balanced.labels).steps()
    cards = [str(row["card"]) for row in test.inputs]
    return {
        "auc": ranking.auc(steps),
        "average_precision": ranking.average_precision(steps),
        "recall_at_1_percent": ranking.recall_at(steps),
        "card_precision_100": ranking.precision_of_groups(scores, test.labels, cards, CARDS),
        "brier": brier(scores, test.labels),
        "calibration_error": calibration_error(scores, test.labels),
        "accuracy": costs.at_threshold(steps, scorer.accurate, COSTS).accuracy,
        "never": 1 - sum(test.labels) / len(test.labels),
        "auc_balanced": ranking.auc(even),
        "balanced_accuracy": costs.at_threshold(even, scorer.balanced, COSTS).balanced_accuracy,
    }


def scorers(rows: Split, model: Scores | None) -> dict[str, Scorer]:
    """Returns the calibrated scorers by name; those with the model only where it is there."""
    raw: dict[str, Scores] = {name: scores_of(tree, rows) for name, tree in trees(rows).items()}
    if model:
        both = stacked(model, raw["tree"], rows)
        raw = {"stack": both, "model": model, **raw}
    return {name: calibrated(scores, rows) for name, scores in raw.items()}


def table(runs: Sequence[dict[str, dict[str, float]]]) -> str:
    """Returns the mean of each figure over the seeds, and its least and largest value."""
    names = list(runs[0])
    lines = [f"| {' | '.join(['figure', *names])} |", "|---" * (len(names) + 1) + "|"]
    for figure in runs[0][names[0]]:
        cells = [_cell([run[name][figure] for run in runs]) for name in names]
        lines.append(f"| {' | '.join([figure, *cells])} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{mean:.3f}{spread}"
