"""The classifier: its training, its answers, and figures that no example flatters."""

import math
import random
from collections.abc import Sequence

import pytest

from inference.assistants import understanding
from inference.assistants.example_groups import Example, examples, folds
from inference.assistants.letter_features import SIZE, letters
from inference.assistants.spec import Intent, Rule
from inference.assistants.training import cross_validated, train
from inference.assistants.understanding import Classifier, WrongVector, classify
from tests.inference.assistants.shop import ORDER, SHOP

pytestmark = pytest.mark.unit
NAMES = ["track", "refund", "move"]


def an_example(intent: str, text: str) -> Example:
    slots = [ORDER]
    part = Intent(name=intent, examples={}, slots=slots, rule=Rule(kind="hand_over"))
    return Example(part, "en", text)


def cloud(seed: int = 1, spread: float = 0.3) -> tuple[list[Example], list[list[float]]]:
    """Returns 30 examples of each intent, each intent in a direction of its own."""
    chance, listed, vectors = random.Random(seed), [], []
    for number, name in enumerate(NAMES):
        for place in range(30):
            example = an_example(name, f"w{number}{place} x{place}")
            example.group = 100 * number + place
            listed.append(example)
            noise = [chance.gauss(0, spread) for _dimension in range(8)]
            noise[number] += 1.0
            vectors.append(noise)
    return listed, vectors


def test_it_knows_sentences_like_those_of_its_training() -> None:
    listed, vectors = cloud()
    classifier = train(listed, vectors, "minilm")
    others, unseen = cloud(seed=2)
    right = sum(
        classify(classifier, vector)[0].intent == example.intent
        for example, vector in zip(others, unseen, strict=True)
    )
    assert right >= 85
    assert classifier.intents == sorted(NAMES)
    assert understanding.unpacked(understanding.packed(classifier)) == classifier


def written(text: str) -> list[float]:
    row = letters(text)
    return [row.get(place, 0.0) for place in range(SIZE)]


def test_letters_tell_sentences_apart_that_a_model_does_not() -> None:
    texts = {"refund": ["我要退款", "请退款", "申请退款", "能退款吗"],
             "track": ["我的包裹呢", "查包裹", "包裹在哪里", "包裹到了吗"]}  # fmt: skip
    listed = [an_example(name, text) for name, own in texts.items() for text in own]
    classifier = train(listed, [[1.0, 0.5]] * len(listed), "blind")
    assert classify(classifier, [1.0, 0.5], "想要退款")[0].intent == "refund"
    assert classify(classifier, [1.0, 0.5], "我的包裹")[0].intent == "track"


def test_numbers_are_all_alike_to_letters() -> None:
    assert letters("where is AB-1234?") == letters("Where is AB-9876")
    assert letters("") == {}
    assert math.isclose(sum(value**2 for value in letters("hello there").values()), 1.0)


def test_a_classifier_of_an_earlier_version_needs_no_text() -> None:
    earlier = understanding.packed(
        {"embedding_model": "m", "intents": ["a", "b"], "weights": [[1.0], [-1.0]],
         "biases": [0.0, 0.0]}
    )  # fmt: skip
    assert classify(understanding.unpacked(earlier), [1.0], "hello")[0].intent == "a"


def test_it_agrees_with_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    listed, vectors = cloud(spread=0.6)
    rows = [
        [*understanding.normalised(vector), *written(example.text)]
        for example, vector in zip(listed, vectors, strict=True)
    ]
    units = np.array(rows)
    theirs = LogisticRegression(C=30, max_iter=2_000, tol=1e-8).fit(
        units, [example.intent for example in listed]
    )
    classifier = train(listed, vectors, "minilm")
    pairs = zip(listed, vectors, strict=True)
    for (example, vector), expected in zip(pairs, theirs.predict_proba(units), strict=True):
        predictions = classify(classifier, vector, example.text)
        ours = {each.intent: each.probability for each in predictions}
        for name, probability in zip(theirs.classes_, expected, strict=True):
            assert math.isclose(ours[name], probability, abs_tol=2e-3)


def test_probabilities_are_sorted_and_add_up() -> None:
    predictions = classify(train(*cloud(), "minilm"), [1.0] + [0.1] * 7)
    assert math.isclose(sum(each.probability for each in predictions), 1.0)
    assert predictions == sorted(predictions, key=lambda each: -each.probability)


@pytest.mark.parametrize("vector", [[1.0] * 7, [0.0] * 8, [math.nan] * 8, [math.inf] * 8, []])
def test_a_vector_of_another_model_is_no_sentence(vector: Sequence[float]) -> None:
    with pytest.raises(WrongVector):
        classify(train(*cloud(), "minilm"), vector)


def test_one_intent_alone_is_always_right() -> None:
    listed, vectors = cloud()
    classifier = train(listed[:30], vectors[:30], "minilm")
    assert classify(classifier, vectors[0])[0].probability == 1.0


def test_huge_scores_do_not_overflow() -> None:
    classifier = Classifier("m", ["a", "b"], [[1e6], [-1e6]], [0.0, 0.0])
    assert classify(classifier, [1.0])[0].probability == 1.0


def test_sentences_that_differ_in_values_alone_are_one_group() -> None:
    texts = ["where is AB-1234", "where is CD-5678", "has my parcel been sent", "Where is it 7?"]
    intent = Intent(
        name="track", examples={"en": texts}, slots=[ORDER], rule=Rule(kind="hand_over")
    )
    import msgspec

    listed = examples(msgspec.structs.replace(SHOP, intents=[intent]))
    assert [example.group for example in listed[:2]] == [listed[0].group] * 2
    assert listed[2].group != listed[0].group


def test_a_group_is_in_one_fold_and_intents_are_spread() -> None:
    listed, _vectors = cloud()
    for example in listed:
        example.group //= 2
    placed = folds(listed, 5)
    of_group: dict[int, set[int]] = {}
    for example, fold in zip(listed, placed, strict=True):
        of_group.setdefault(example.group, set()).add(fold)
    assert all(len(each) == 1 for each in of_group.values())
    assert {placed.count(fold) for fold in range(5)} == {18}


def test_the_figures_are_of_sentences_that_were_not_trained_with() -> None:
    listed, vectors = cloud()
    noise = [[random.Random(n).gauss(0, 1) for _ in range(200)] for n in range(len(listed))]
    assert cross_validated(listed, noise, 0.6).right < 0.55, "chance is a third"
    seen: list[int] = []
    figures = cross_validated(listed, vectors, 0.6, seen.append)
    assert seen == [1, 2, 3, 4, 5]
    assert figures.right > 0.9
    assert figures.right_where_sure >= figures.right
    assert {each.intent: each.examples for each in figures.intents} == dict.fromkeys(NAMES, 30)
    shares = [each.share for each in figures.thresholds]
    assert shares == sorted(shares, reverse=True)
    assert figures.languages == {"en": figures.right}


def test_an_intent_with_one_group_is_counted_as_not_right() -> None:
    listed, vectors = cloud()
    for example in listed[:30]:
        example.group = 0
    figures = cross_validated(listed, vectors, 0.6)
    (move, _refund, track) = figures.intents
    assert (track.groups, track.right) == (1, 0.0)
    assert move.groups == 30
