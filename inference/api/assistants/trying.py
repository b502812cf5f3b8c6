"""Tries a sentence with a version: its intent and slots, as a dialogue would read them."""

import asyncio
from contextvars import Context
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
from django.utils import timezone

from inference.api.assistants.building import embedded
from inference.api.deferred import Refused, caller_of
from inference.assistants.slots.extraction import extract
from inference.assistants.spec import AssistantSpec, Value
from inference.assistants.understanding import Classifier, Prediction, classify
from inference.intake import context as intake
from inference.models import AssistantVersion
from tenants.caller import Caller
from tenants.models import ApiKey, Member

MOST_SHOWN = 5


class Trial(msgspec.Struct, frozen=True):
    """`slots` are values of the likeliest intent's slots that the sentence has."""

    predictions: list[Prediction]
    is_sure: bool
    slots: dict[str, Value]


async def tried(
    context: intake.Context, caller: Caller, spec: AssistantSpec, classifier: Classifier, text: str
) -> Trial:
    """Raises Wait, Refused of `building.embedded`, and WrongVector."""
    (vector,) = await embedded(context, caller, classifier.embedding_model, [text])
    today = timezone.localdate(timezone=ZoneInfo(caller.time_zone))
    return read(spec, classifier, vector, text, today)


def read(
    spec: AssistantSpec, classifier: Classifier, vector: list[float], text: str, today: date
) -> Trial:
    """Returns what a sentence with this embedding means. Raises WrongVector."""
    predictions = classify(classifier, vector, text)
    best = predictions[0]
    intent = spec.intent(best.intent)
    slots = extract(intent.slots, text, "", today).values if intent else {}
    return Trial(predictions[:MOST_SHOWN], best.probability >= spec.sure, slots)


# From a thread without a loop -------------------------------------------------------------------
PATIENCE_S = 20.0


def try_now(version: AssistantVersion, caller: ApiKey | Member, text: str) -> Trial:
    """Returns what a sentence means to a version, with one request of the caller.

    Raises Wait, Refused, WrongVector, TimeoutError.
    """
    spec, classifier = version.spec, version.classifier
    if classifier is None:
        raise Refused("not_built")
    # In a context of its own: in the request's, Django's one thread for queries is this thread.
    return Context().run(asyncio.run, _tried(caller, spec, classifier, text))


async def _tried(
    row: ApiKey | Member, spec: AssistantSpec, classifier: Classifier, text: str
) -> Trial:
    async with asyncio.timeout(PATIENCE_S), intake.Context.opened() as context:
        caller = await caller_of(context, row)
        return await tried(context, caller, spec, classifier, text)
