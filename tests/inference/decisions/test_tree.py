"""A boosted tree as JSON."""

import math

import msgspec
import pytest

from inference.decisions.tree import Tree, check, probability

pytestmark = pytest.mark.unit

SPLIT = [[0.0, 100.0, 1.0, 2.0, 0.0], [-2.0], [2.0]]
TREE = Tree(features=["amount", "country=DE"], intercept=0.0, trees=[SPLIT])


def test_a_value_at_the_threshold_goes_left() -> None:
    assert probability(TREE, {"amount": 100}) == pytest.approx(1 / (1 + math.exp(2)))
    assert probability(TREE, {"amount": 100.01}) == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "12", [1], 10**400])
@pytest.mark.parametrize(("missing_left", "log_odds"), [(1.0, -2.0), (0.0, 2.0)])
def test_what_is_no_number_takes_the_side_of_missing_values(
    value: object, missing_left: float, log_odds: float
) -> None:
    tree = Tree(["amount"], 0.0, [[[0.0, 100.0, 1.0, 2.0, missing_left], [-2.0], [2.0]]])
    assert probability(tree, {"amount": value}) == pytest.approx(1 / (1 + math.exp(-log_odds)))
    assert probability(tree, {}) == probability(tree, {"amount": value})


def test_a_feature_with_an_equals_sign_is_one_where_the_input_is_that_text() -> None:
    tree = Tree(["country=DE"], 0.5, [[[0.0, 0.5, 1.0, 2.0, 0.0], [-1.0], [1.0]]])
    assert probability(tree, {"country": "DE"}) == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert probability(tree, {"country": "FR"}) == probability(tree, {})


def test_truth_values_are_numbers() -> None:
    tree = Tree(["weekend"], 0.0, [[[0.0, 0.5, 1.0, 2.0, 0.0], [-1.0], [1.0]]])
    assert probability(tree, {"weekend": True}) > 0.5 > probability(tree, {"weekend": False})


def test_trees_add_up_and_the_farthest_scores_stay_probabilities() -> None:
    far = Tree(["amount"], 800.0, [[[700.0]], [[700.0]]])
    assert probability(far, {}) == 1.0
    assert probability(msgspec.structs.replace(far, intercept=-5000.0), {}) == 0.0


def test_the_json_of_a_tree_is_read_back() -> None:
    assert msgspec.json.decode(msgspec.json.encode(TREE), type=Tree) == TREE


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (Tree([], 0.0, [SPLIT]), "features"),
        (Tree(["a"], 0.0, []), "nodes"),
        (Tree(["a"], 0.0, [[]]), "has no nodes"),
        (Tree(["a"], math.nan, [SPLIT]), "intercept"),
        (Tree(["a"], 0.0, [[[1.0, 2.0]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[math.inf]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[1.0, 0.0, 1.0, 2.0, 0.0], [0.0], [0.0]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[0.0, 0.0, 0.0, 2.0, 0.0], [0.0], [0.0]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[0.0, 0.0, 1.0, 3.0, 0.0], [0.0], [0.0]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[0.0, 0.0, 1.5, 2.0, 0.0], [0.0], [0.0]]]), "Node 0 of tree 0"),
        (Tree(["a"], 0.0, [[[0.0, 0.0, 1.0, 2.0, 0.5], [0.0], [0.0]]]), "Node 0 of tree 0"),
    ],
)
def test_a_tree_that_cannot_be_scored_is_refused_with_its_node(tree: Tree, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(tree)


def test_a_tree_that_can_be_scored_is_taken() -> None:
    check(TREE)
