"""Replies to what the assistant has asked: a slot's value, a confirmation, one of two intents."""

from inference.assistants import set_phrases
from inference.assistants.intent_steps import Message
from inference.assistants.slots.extraction import Extracted, extract
from inference.assistants.spec import Intent, Slot
from inference.assistants.state import Arguments, Ask, Confirm, Pending, Say
from inference.assistants.transitions import Next, not_understood, settled

_SURE_BESIDE_TEXT = 0.8  # of a new intent, where any text would be an answer


def reply(message: Message) -> Next | None:
    """Returns the step after a reply to an open question; None if no question is open."""
    pending = message.state.pending
    if pending is None or pending.kind not in ("slot", "confirm", "clarify"):
        return None
    if pending.kind == "clarify":
        return _to_options(message, pending)
    intent = message.spec.intent(message.state.intent)
    if intent is None:  # another version goes on, which has no such intent
        return None
    if pending.kind == "confirm":
        return _to_confirmation(message, intent, pending)
    return _to_question(message, intent, pending.slot)


# A slot -----------------------------------------------------------------------------------------
def _to_question(message: Message, intent: Intent, name: str) -> Next | None:
    slot = next((slot for slot in intent.slots if slot.name == name), None)
    if slot is None:
        return None
    extracted = extract(intent.slots, message.text, name, message.today)
    if other := _changed_mind(message, slot, extracted):
        return message.begin(other)
    values = _answers(message, slot, extracted.values)
    if values:
        return message.fill(intent, values)
    step = Ask(name, intent.name, again=True)
    return not_understood(message.spec, message.state, step, "not_understood")


def _answers(message: Message, slot: Slot, values: Arguments) -> Arguments:
    """Returns the values that an answer sets: what was asked for, what was open, corrections."""
    correction = set_phrases.is_correction(message.text)
    others = {
        name: value
        for name, value in values.items()
        if name != slot.name and (correction or name not in message.state.slots)
    }
    if slot.name not in values:
        return others
    if slot.kind == "text" and (set_phrases.is_empty(message.text) or (correction and others)):
        return others  # "no" is no address; nor is "wait, it is order 7"
    return {**others, slot.name: values[slot.name]}


def _changed_mind(message: Message, slot: Slot | None, extracted: Extracted) -> Intent | None:
    """Returns the intent that a message names while another is open.

    A message that is little more than a value is an answer, whatever the classifier says.
    """
    least = _SURE_BESIDE_TEXT if slot and slot.kind == "text" else 0.0
    intent = message.sure_intent(least)
    if intent is None or intent.name == message.state.intent:
        return None
    return intent if set_phrases.size(set_phrases.unframed(extracted.rest)) >= 2 else None


# A confirmation ---------------------------------------------------------------------------------
def _to_confirmation(message: Message, intent: Intent, pending: Pending) -> Next:
    if message.means("yes", "thanks"):
        already = message.already(intent, pending)
        return already or message.act(pending.action, pending.arguments, confirmed=True)
    if message.means("no", "thanks"):
        return settled(message.state), Say("cancelled")
    extracted = extract(intent.slots, message.text, "", message.today)
    differs = _differ(extracted.values, message.state.slots)
    if differs and set_phrases.is_correction(message.text):  # it is confirmed anew in any case
        return message.fill(intent, extracted.values)
    if other := _changed_mind(message, None, extracted):
        return message.begin(other)
    if differs:
        return message.fill(intent, extracted.values)
    texts = [slot.name for slot in intent.slots if slot.kind == "text"]
    if len(texts) == 1 and set_phrases.is_correction(message.text):
        return message.ask(texts[0])
    step = Confirm(pending.action, pending.arguments, intent.name)
    return not_understood(message.spec, message.state, step, "not_confirmed")


def _differ(values: Arguments, slots: Arguments) -> bool:
    return any(slots.get(name) != value for name, value in values.items())


# A clarifying question --------------------------------------------------------------------------
def _to_options(message: Message, pending: Pending) -> Next | None:
    options = [intent for name in pending.options if (intent := message.spec.intent(name))]
    if intent := _option(message, options):
        return message.begin(intent, message.state.query)
    if message.means("no", "thanks"):
        step = Say("rephrase")
        return not_understood(message.spec, message.state, step, "not_understood")
    return None


def _option(message: Message, options: list[Intent]) -> Intent | None:
    if len(options) == 1 and message.means("yes", "thanks"):
        return options[0]
    number = set_phrases.ordinal(message.text)
    if 0 < number <= len(options):
        return options[number - 1]
    titles = [each for each in options if set_phrases.has_one(message.text, each.title.values())]
    if len(titles) == 1:
        return titles[0]
    return _likely(message, options)


def _likely(message: Message, options: list[Intent]) -> Intent | None:
    """Returns the likeliest intent if it is one of two options: there, half as sure is enough."""
    best = message.predictions[0] if message.predictions else None
    if best is None or len(options) < 2 or message.text == message.state.query:
        return None
    if best.probability < message.spec.sure / 2:
        return None
    return next((intent for intent in options if intent.name == best.intent), None)
