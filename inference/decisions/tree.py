"""A boosted tree as plain JSON, which any process scores without a library.

A node is a list of numbers: `[value]` is a leaf, in log-odds; `[feature, threshold, left, right,
missing_left]` is a split, where `feature` is an index of `features`, `left` and `right` are indexes
of nodes after this one, and a value of at most `threshold` goes left. A value that is missing, no
number or not finite goes left where `missing_left` is 1, else right. A feature is the name of an
input, or `name=value`, which is 1 where the input is that text.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MOST_NODES, MOST_FEATURES = 200_000, 200
LARGEST_LEAF = 1e6  # log-odds: no sum of them is infinite
_LEAF, _SPLIT = 1, 5

Node = list[float]


class Tree(msgspec.Struct, frozen=True):
    """`about` says what it was fitted on; no score depends on it."""

    features: list[str]
    intercept: float
    trees: list[list[Node]]
    about: dict[str, Any] = {}


def probability(tree: Tree, values: Mapping[str, Any]) -> float:
    """Returns the probability of the positive outcome of an input."""
    row = [value_of(name, values) for name in tree.features]
    return sigmoid(tree.intercept + sum(_leaf(nodes, row) for nodes in tree.trees))


def value_of(feature: str, values: Mapping[str, Any]) -> float:
    """Returns a feature's value; NaN where it is missing or no number."""
    name, equals, wanted = feature.partition("=")
    if equals:
        return float(values.get(name) == wanted)
    value = values.get(feature)
    if not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def sigmoid(log_odds: float) -> float:
    return (1 + math.tanh(log_odds / 2)) / 2


def check(tree: Tree) -> None:
    """Raises ValueError with a sentence for a tree that cannot be scored."""
    if not 1 <= len(tree.features) <= MOST_FEATURES:
        raise ValueError(f"A tree has 1 to {MOST_FEATURES} features.")
    if not tree.trees or sum(map(len, tree.trees)) > MOST_NODES:
        raise ValueError(f"A tree has 1 to {MOST_NODES} nodes.")
    if not abs(tree.intercept) <= LARGEST_LEAF:
        raise ValueError(f"The intercept of a tree is at most {LARGEST_LEAF:.0f}.")
    for number, nodes in enumerate(tree.trees):
        for at, node in enumerate(nodes):
            if not _is_node(node, at, len(nodes), len(tree.features)):
                raise ValueError(f"Node {at} of tree {number} is no leaf and no split.")
        if not nodes:
            raise ValueError(f"Tree {number} has no nodes.")


def _leaf(nodes: Sequence[Node], row: Sequence[float]) -> float:
    at = 0
    while len(node := nodes[at]) == _SPLIT:
        value = row[int(node[0])]
        goes_left = node[4] == 1 if not math.isfinite(value) else value <= node[1]
        at = int(node[2 if goes_left else 3])
    return node[0]


def _is_node(node: Node, at: int, nodes: int, features: int) -> bool:
    """Children come after their parent, so that no walk is endless."""
    if len(node) not in (_LEAF, _SPLIT) or not all(map(math.isfinite, node)):
        return False
    if len(node) == _LEAF:
        return abs(node[0]) <= LARGEST_LEAF
    feature, _threshold, left, right, missing_left = node
    whole = all(value == int(value) for value in (feature, left, right))
    return (
        whole
        and 0 <= feature < features
        and at < left < nodes
        and at < right < nodes
        and missing_left in (0, 1)
    )
