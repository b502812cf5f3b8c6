"""Tries a sentence with a version: its intent and slots, as a dialogue would read them."""

from datetime import date

import msgspec

from inference.api.assistants.building import embedded
from inference.assistants.slots.extraction import extract
from inference.assistants.spec import AssistantSpec, Value
from inference.assistants.understanding import Classifier, Prediction, classify
from inference.intake.context import Context
from tenants.caller import Caller

MOST_SHOWN = 5


class Trial(msgspec.Struct, frozen=True):
    """`slots` are values of the likeliest intent's slots that the sentence has."""

    predictions: list[Prediction]
    is_sure: bool
    slots: dict[str, Value]


async def tried(
    context: Context, caller: Caller, spec: AssistantSpec, classifier: Classifier, text: str
) -> Trial:
    """Raises Wait, Refused of `building.embedded`, and WrongVector."""
    (vector,) = await embedded(context, caller, classifier.embedding_model, [text])
    return read(spec, classifier, vector, text)


def read(spec: AssistantSpec, classifier: Classifier, vector: list[float], text: str) -> Trial:
    """Returns what a sentence with this embedding means. Raises WrongVector."""
    predictions = classify(classifier, vector)
    best = predictions[0]
    intent = spec.intent(best.intent)
    slots = extract(intent.slots, text, "", date.today()).values if intent else {}
    return Trial(predictions[:MOST_SHOWN], best.probability >= spec.sure, slots)
