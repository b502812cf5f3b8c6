"""A model and a boosted tree combined."""

import math
import random

import pytest
from sklearn.linear_model import LogisticRegression

from inference.decisions.stacking import fit, log_odds
from inference.decisions.tree import sigmoid

pytestmark = pytest.mark.unit


def rows(count: int, seed: int) -> tuple[list[float], list[float], list[int]]:
    """Returns scores of a sharp and of a dull scorer, and what happened."""
    chance = random.Random(seed)
    truth = [chance.gauss(-2, 2) for _ in range(count)]
    labels = [int(chance.random() < sigmoid(x)) for x in truth]
    sharp = [sigmoid(0.5 * x + chance.gauss(1, 0.3)) for x in truth]
    return sharp, [sigmoid(x + chance.gauss(0, 3)) for x in truth], labels


def test_weights_are_those_of_a_logistic_regression() -> None:
    model, tree, labels = rows(800, 1)
    weights = fit(model, tree, labels)
    table = [[log_odds(a), log_odds(b)] for a, b in zip(model, tree, strict=True)]
    right = LogisticRegression(C=1e6).fit(table, labels)
    assert weights[:2] == pytest.approx(list(right.coef_[0]), abs=0.01)
    assert weights.intercept == pytest.approx(right.intercept_[0], abs=0.01)


def test_the_better_scorer_weighs_more() -> None:
    model, tree, labels = rows(800, 2)
    weights = fit(model, tree, labels)
    assert weights.model > weights.tree > 0


def test_scores_that_part_both_outcomes_give_finite_weights() -> None:
    scores = [0.0] * 40 + [1.0] * 40
    weights = fit(scores, scores, [0] * 40 + [1] * 40)
    assert all(map(math.isfinite, weights))
    assert sigmoid(weights.intercept + (weights.model + weights.tree) * log_odds(1.0)) > 0.9


@pytest.mark.parametrize(
    ("count", "label", "words"), [(10, 1, "at least 50"), (60, 0, "both outcomes")]
)
def test_rows_that_cannot_be_fitted_are_refused(count: int, label: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit([0.5] * count, [0.5] * count, [label] * count)
