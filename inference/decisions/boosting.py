"""Fits a boosted tree on labelled rows, and writes it as plain JSON.

It needs scikit-learn, of the extra `models`; what it writes needs nothing.
"""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from inference.decisions.tree import Node, Tree, value_of

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

FEWEST_ROWS, MOST_WORDS = 100, 20
_DIGITS = 7  # of a leaf's value: its size in a file, not its score, depends on it


class CannotFit(Exception):
    """The tree cannot be fitted. The message is a sentence for people."""


def fit(
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[int],
    *,
    seed: int = 0,
    rounds: int = 100,
    leaves: int = 31,
) -> Tree:
    """Returns a tree that scores rows as scikit-learn's own model does. Raises CannotFit.

    Numbers and truth values are features; of each text the commonest values are one each. Fewer
    `rounds` and `leaves` make it smaller.
    """
    if len(rows) < FEWEST_ROWS:
        raise CannotFit(f"A tree needs at least {FEWEST_ROWS} rows.")
    if len(set(labels)) < 2:
        raise CannotFit("A tree needs rows of both outcomes.")
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        raise CannotFit(
            "Fitting a tree needs scikit-learn: pip install 'forebay[models]'"
        ) from None
    features = features_of(rows)
    table = [[value_of(feature, row) for feature in features] for row in rows]
    model = HistGradientBoostingClassifier(
        random_state=seed, max_iter=rounds, max_leaf_nodes=leaves
    ).fit(table, list(labels))
    about = {"rows": len(rows), "positives": sum(labels), "method": "HistGradientBoosting"}
    return Tree(features, _intercept(model), _trees(model), about)


def features_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the names of what a tree can look at, in the order of the first row that has them."""
    features = list[str]()
    for name in dict.fromkeys(name for row in rows for name in row):
        words = Counter(row[name] for row in rows if isinstance(row.get(name), str))
        if not words:
            features.append(name)
        features += [f"{name}={word}" for word, _count in words.most_common(MOST_WORDS)]
    return features


def scaled(tree: Tree, slope: float, intercept: float) -> Tree:
    """Returns the tree with its log-odds as a calibration by Platt's method maps them."""
    return msgspec.structs.replace(
        tree,
        intercept=intercept + slope * tree.intercept,
        trees=[[_scaled(node, slope) for node in nodes] for nodes in tree.trees],
    )


def _scaled(node: Node, slope: float) -> Node:
    return [round(slope * node[0], _DIGITS)] if len(node) == 1 else node


def _intercept(model: "HistGradientBoostingClassifier") -> float:
    return float(model._baseline_prediction[0, 0])


def _trees(model: "HistGradientBoostingClassifier") -> list[list[Node]]:
    """scikit-learn has no public form of its trees: a test compares the scores of both."""
    return [[_node(node) for node in one.nodes] for (one,) in model._predictors]


def _node(node: Any) -> Node:
    if node["is_leaf"]:
        return [round(float(node["value"]), _DIGITS)]
    threshold = float(node["num_threshold"])
    if math.isinf(threshold):  # all numbers go left, and missing values right
        threshold = sys.float_info.max
    missing_left = float(node["missing_go_to_left"])
    return [float(node["feature_idx"]), threshold, *_children(node), missing_left]


def _children(node: Any) -> tuple[float, float]:
    return float(node["left"]), float(node["right"])
