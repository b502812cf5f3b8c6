"""The intent of a message: a multinomial logistic regression over its embedding and its letters.

`classify` is plain Python, for web processes. `training.py` makes classifiers.
"""

import math
from collections.abc import Sequence
from operator import mul

import msgspec

from inference.assistants.letter_features import letters


class Prediction(msgspec.Struct, frozen=True):
    intent: str
    probability: float


class Classifier(msgspec.Struct, frozen=True):
    """Weights of each intent, and its bias. It belongs to one embedding model.

    `letters` are the weights of a sentence's letters; classifiers of earlier versions have none.
    """

    embedding_model: str
    intents: list[str]
    weights: list[list[float]]
    biases: list[float]
    letters: list[list[float]] = []

    @property
    def dimensions(self) -> int:
        return len(self.weights[0]) if self.weights else 0


class WrongVector(ValueError):
    """A vector has other dimensions than the classifier: the embedding model was replaced."""


def classify(classifier: Classifier, vector: Sequence[float], text: str = "") -> list[Prediction]:
    """Returns all intents, the likeliest first. `vector` embeds the text. Raises WrongVector."""
    if len(vector) != classifier.dimensions:
        text = f"a vector of {len(vector)} dimensions, not {classifier.dimensions}"
        raise WrongVector(text)
    unit = normalised(vector)
    scores = [
        sum(map(mul, weights, unit)) + bias
        for weights, bias in zip(classifier.weights, classifier.biases, strict=True)
    ]
    if classifier.letters:
        written = letters(text)
        for number, own in enumerate(classifier.letters):
            scores[number] += sum(own[place] * value for place, value in written.items())
    predictions = map(Prediction, classifier.intents, _softmax(scores))
    return sorted(predictions, key=lambda each: -each.probability)


def normalised(vector: Sequence[float]) -> list[float]:
    """Returns a vector of length 1. Raises WrongVector for one that has no direction."""
    length = math.hypot(*vector)
    if not length or not math.isfinite(length):
        raise WrongVector("a vector without a direction")
    return [value / length for value in vector]


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


packed = msgspec.msgpack.encode
unpacked = msgspec.msgpack.Decoder(Classifier).decode
