"""Fits calibrators, and measures how far scores can be taken for probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from trainer.refusals import bad_data
from trainer.scoring.calibrator import Calibrator, Isotonic, Platt, log_odds

BINS = 10
FEW_ROWS = 500  # under which isotonic regression follows chance
FALSE_ALARMS = 0.01


def fit(method: str, scores: Sequence[float], labels: Sequence[int]) -> Calibrator:
    """Refuses rows of one outcome alone."""
    if len(set(labels)) < 2:
        raise bad_data("one_outcome", "The rows for the calibrator have one outcome alone")
    if method == "platt":
        odds = np.array([[log_odds(score)] for score in scores])
        model = LogisticRegression(C=1e6).fit(odds, labels)
        return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    return Isotonic(curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist())


def measures(scores: Sequence[float], labels: Sequence[int]) -> dict[str, Any]:
    """Returns figures of scores of two outcomes, beside always naming the commoner one."""
    values, truth = np.asarray(scores, dtype=float), np.asarray(labels)
    figures = {
        "accuracy": float(((values >= 0.5) == truth).mean()),
        "accuracy_of_the_commoner_outcome": float(max(truth.mean(), 1 - truth.mean())),
        "brier": float(((values - truth) ** 2).mean()),
        "expected_calibration_error": calibration_error(values, truth),
        "rows": len(truth),
        "rate": float(truth.mean()),
    }
    return figures | (_ranking(values, truth) if len(set(truth.tolist())) == 2 else {})


def _ranking(values: Any, truth: Any) -> dict[str, float]:
    false_alarms, recall, _limits = roc_curve(truth, values)
    return {
        "auc": float(roc_auc_score(truth, values)),
        "average_precision": float(average_precision_score(truth, values)),
        "recall_at_1_percent_false_alarms": float(recall[false_alarms <= FALSE_ALARMS].max()),
    }


def calibration_error(values: Any, truth: Any) -> float:
    """Returns the mean distance of score and outcome over ten bins, weighted by their rows."""
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    parts = [(bins == number) for number in range(BINS)]
    return float(sum(abs(truth[p].mean() - values[p].mean()) * p.mean() for p in parts if p.any()))
