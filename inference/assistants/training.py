"""Trains the classifier of intents, and measures it on sentences that it was not trained with.

numpy is imported where it trains: web processes only classify.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from inference.assistants.example_groups import Example, folds
from inference.assistants.letter_features import SIZE, letters
from inference.assistants.understanding import Classifier, normalised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

STRENGTH = 30.0  # weight of the examples beside the penalty of large weights (`C`)
FOLDS = 5
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MOST_CONFUSIONS = 10
_STEPS, _MEMORY, _FLAT = 300, 10, 1e-5


class AtThreshold(msgspec.Struct, frozen=True):
    """A threshold of *sure*: its share of messages, and the share of these that is right."""

    threshold: float
    share: float
    right: float


class Confusion(msgspec.Struct, frozen=True):
    """`example` is the place of a sentence among the examples: figures are stored in clear."""

    intent: str
    taken_for: str
    count: int
    example: int


class IntentFigures(msgspec.Struct, frozen=True):
    intent: str
    examples: int
    groups: int
    right: float


class Figures(msgspec.Struct, frozen=True):
    """Figures of a cross-validation by groups. Shares are from 0 to 1."""

    examples: int
    folds: int
    right: float
    sure: float  # the version's threshold
    sure_share: float
    right_where_sure: float
    thresholds: list[AtThreshold]
    intents: list[IntentFigures]
    confusions: list[Confusion]
    languages: dict[str, float]


def train(
    listed: Sequence[Example], vectors: Sequence[Sequence[float]], embedding_model: str
) -> Classifier:
    """Returns the classifier of these examples. `vectors` are their embeddings."""
    names = sorted({example.intent for example in listed})
    labels = [names.index(example.intent) for example in listed]
    weights = _fit(_matrix(listed, vectors), labels, len(names))
    columns = [[float(value) for value in column] for column in weights.T]
    biases = [column.pop() for column in columns]
    of_vectors, of_letters = [c[:-SIZE] for c in columns], [c[-SIZE:] for c in columns]
    return Classifier(embedding_model, names, of_vectors, biases, of_letters)


def cross_validated(
    listed: Sequence[Example],
    vectors: Sequence[Sequence[float]],
    sure: float,
    progress: Callable[[int], None] = lambda fold: None,
) -> Figures:
    """Returns the figures of examples that were classified without their own group.

    A fold's examples of an intent whose only group is in it cannot be right, and count as wrong.
    """
    import numpy as np

    matrix, places = _matrix(listed, vectors), np.array(folds(listed, FOLDS))
    names = sorted({example.intent for example in listed})
    labels = np.array([names.index(example.intent) for example in listed])
    probabilities = np.zeros((len(listed), len(names)))
    for fold in range(FOLDS):
        inside, rest = places == fold, places != fold
        if inside.any() and rest.any():
            weights = _fit(matrix[rest], list(labels[rest]), len(names))
            probabilities[inside] = _probabilities(matrix[inside], weights)
        progress(fold + 1)
    return _figures(listed, names, labels, probabilities, sure)


# The regression ---------------------------------------------------------------------------------
def _matrix(listed: Sequence[Example], vectors: Sequence[Sequence[float]]) -> Matrix:
    """Returns rows: vectors of length 1, the letters, and a one for the bias."""
    import numpy as np

    rows = np.array([normalised(vector) for vector in vectors], dtype=np.float64)
    written = np.zeros((len(rows), SIZE))
    for row, example in zip(written, listed, strict=True):
        for place, value in letters(example.text).items():
            row[place] = value
    return np.hstack([rows, written, np.ones((len(rows), 1))])


def _probabilities(matrix: Matrix, weights: Matrix) -> Matrix:
    import numpy as np

    scores = matrix @ weights
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return result


def _fit(matrix: Matrix, labels: Sequence[int], classes: int) -> Matrix:
    """Returns the weights with the least loss: a column for each class, the last row its bias.

    The loss is convex; L-BFGS with halved steps finds its least (Nocedal and Wright, 7.4).
    """
    import numpy as np

    truth = np.eye(classes)[np.array(labels)]
    penalty = np.ones((matrix.shape[1], 1))
    penalty[-1] = 0.0  # of the bias

    def loss(weights: Matrix) -> tuple[float, Matrix]:
        likely = _probabilities(matrix, weights)
        cost = -STRENGTH * np.log(np.maximum((likely * truth).sum(axis=1), 1e-300)).sum()
        cost += 0.5 * (penalty * weights**2).sum()
        return float(cost), STRENGTH * matrix.T @ (likely - truth) + penalty * weights

    return _least(loss, np.zeros((matrix.shape[1], classes)))


def _least(loss: Callable[[Matrix], tuple[float, Matrix]], point: Matrix) -> Matrix:
    import numpy as np

    steps: list[tuple[Matrix, Matrix]] = []
    cost, slope = loss(point)
    for _step in range(_STEPS):
        if np.abs(slope).max() < _FLAT * max(1.0, STRENGTH):
            break
        direction = _direction(slope, steps)
        size, descent = (1.0 if steps else 1.0 / np.abs(slope).sum()), (slope * direction).sum()
        while (trial := loss(point + size * direction))[0] > cost + 1e-4 * size * descent:
            size /= 2
            if size < 1e-12:
                return point
        move, bend = size * direction, trial[1] - slope
        if (move * bend).sum() > 1e-10:
            steps = [*steps[-_MEMORY + 1 :], (move, bend)]
        point, (cost, slope) = point + move, trial
    return point


def _direction(slope: Matrix, steps: list[tuple[Matrix, Matrix]]) -> Matrix:
    """Returns the direction of the next step: the two loops of L-BFGS."""
    rest, factors = slope.copy(), []
    for move, bend in reversed(steps):
        factor = (move * rest).sum() / (move * bend).sum()
        factors.append(factor)
        rest = rest - factor * bend
    if steps:
        move, bend = steps[-1]
        rest = rest * ((move * bend).sum() / (bend * bend).sum())
    for (move, bend), factor in zip(steps, reversed(factors), strict=True):
        rest = rest + (factor - (bend * rest).sum() / (move * bend).sum()) * move
    return -rest


# Figures ----------------------------------------------------------------------------------------
def _figures(
    listed: Sequence[Example],
    names: list[str],
    labels: NDArray[np.int_],
    probabilities: Matrix,
    sure: float,
) -> Figures:
    best, height = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = [bool(hit) for hit in (best == labels) & (height > 0)]
    certain = [float(value) for value in height]
    at_sure = _at(sure, right, certain)
    return Figures(
        examples=len(listed),
        folds=FOLDS,
        right=_share(right),
        sure=sure,
        sure_share=at_sure.share,
        right_where_sure=at_sure.right,
        thresholds=[_at(threshold, right, certain) for threshold in THRESHOLDS],
        intents=[_of_intent(name, listed, right) for name in names],
        confusions=_confusions(listed, [names[i] for i in best], right),
        languages={
            language: _share(_of_language(language, listed, right))
            for language in sorted({example.language for example in listed})
        },
    )


def _at(threshold: float, right: Sequence[bool], certain: Sequence[float]) -> AtThreshold:
    sure = [hit for hit, height in zip(right, certain, strict=True) if height >= threshold]
    return AtThreshold(threshold, len(sure) / len(right) if right else 0.0, _share(sure))


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else 0.0


def _of_language(language: str, listed: Sequence[Example], right: Sequence[bool]) -> list[bool]:
    pairs = zip(listed, right, strict=True)
    return [hit for example, hit in pairs if example.language == language]


def _of_intent(name: str, listed: Sequence[Example], right: Sequence[bool]) -> IntentFigures:
    own = [number for number, example in enumerate(listed) if example.intent == name]
    groups = len({listed[number].group for number in own})
    return IntentFigures(name, len(own), groups, _share([right[number] for number in own]))


def _confusions(
    listed: Sequence[Example], guesses: Sequence[str], right: Sequence[bool]
) -> list[Confusion]:
    """Returns the intents that are most often taken for others, each with an example."""
    wrong = [
        (example.intent, guess, place)
        for place, (example, guess, hit) in enumerate(zip(listed, guesses, right, strict=True))
        if not hit and guess != example.intent
    ]
    counts = Counter((intent, guess) for intent, guess, _place in wrong)
    places = {(intent, guess): place for intent, guess, place in reversed(wrong)}
    return [
        Confusion(intent, guess, count, places[intent, guess])
        for (intent, guess), count in counts.most_common(MOST_CONFUSIONS)
    ]
