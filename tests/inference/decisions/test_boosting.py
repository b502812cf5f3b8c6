"""A boosted tree of scikit-learn, exported."""

import math
import random
from typing import Any

import msgspec
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from inference.decisions.boosting import CannotFit, features_of, fit, scaled
from inference.decisions.tree import Tree, check, probability, value_of

pytestmark = pytest.mark.unit


def rows(count: int, seed: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Returns payments with missing values and texts, and what happened."""
    chance = random.Random(seed)
    inputs = list[dict[str, Any]]()
    labels = list[int]()
    for _ in range(count):
        amount = chance.choice([None, *(chance.expovariate(1 / 50) for _ in range(5))])
        shop, night = chance.choice(["tea", "bank", "casino"]), chance.random() < 0.3
        odds = -2 + (amount or 0) / 40 + 2 * (shop == "casino") + night - (amount is None)
        inputs.append({"amount": amount, "shop": shop, "night": night})
        labels.append(int(chance.random() < 1 / (1 + math.exp(-odds))))
    return inputs, labels


def test_an_exported_tree_scores_as_scikit_learn_does() -> None:
    inputs, labels = rows(400, 1)
    tree = fit(inputs, labels)
    check(tree)
    features = features_of(inputs)
    assert set(features) == {"amount", "shop=tea", "shop=bank", "shop=casino", "night"}
    model = HistGradientBoostingClassifier(random_state=0).fit(
        [[value_of(name, row) for name in features] for row in inputs], labels
    )
    others, _labels = rows(200, 2)
    others += [{}, {"amount": math.nan, "shop": "unknown"}, {"amount": 1e300}]
    table = [[value_of(name, row) for name in features] for row in others]
    for row, (_no, yes) in zip(others, model.predict_proba(table), strict=True):
        assert probability(tree, row) == pytest.approx(yes, abs=1e-5)


def test_the_exported_tree_is_the_same_after_a_trip_as_json() -> None:
    tree = fit(*rows(150, 3))
    assert msgspec.json.decode(msgspec.json.encode(tree), type=Tree) == tree
    assert tree.about["rows"] == 150


def test_scaling_a_tree_maps_its_log_odds() -> None:
    inputs, labels = rows(150, 4)
    tree = fit(inputs, labels)
    other = scaled(tree, 0.5, -1.0)
    for row in inputs[:20]:
        before, after = probability(tree, row), probability(other, row)
        assert math.log(after / (1 - after)) == pytest.approx(
            0.5 * math.log(before / (1 - before)) - 1.0, abs=1e-4
        )


def test_rows_that_teach_nothing_are_refused() -> None:
    inputs, _labels = rows(120, 5)
    with pytest.raises(CannotFit, match="at least 100 rows"):
        fit(inputs[:50], [0, 1] * 25)
    with pytest.raises(CannotFit, match="both outcomes"):
        fit(inputs, [1] * 120)
