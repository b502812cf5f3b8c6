"""Values of an intent's slots in a message."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date

import msgspec

from inference.assistants import set_phrases
from inference.assistants.slots.dates import dates
from inference.assistants.slots.numbers import numbers
from inference.assistants.slots.patterns import matches
from inference.assistants.spec import Choice, Slot, Value

LONGEST = 500  # characters of a text
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff]+")


class Extracted(msgspec.Struct, frozen=True):
    """Values by slot, and the message without them."""

    values: dict[str, Value]
    rest: str


def extract(
    slots: Sequence[Slot], text: str, wanted: str = "", today: date | None = None
) -> Extracted:
    """Returns the values of a message.

    Two slots of one kind share its values in the message's order; the slot `wanted`, which was
    asked for, comes first. A text is only taken for the wanted slot, and then all of the message
    but words such as "it is" and "please".
    """
    text = cleaned(text)
    values: dict[str, Value] = {}
    rest = text
    for slot in sorted(slots, key=_precedence(wanted)):
        if slot.kind == "text":
            continue
        for piece, value in candidates(slot, rest, today)[:1]:
            values[slot.name] = value
            rest = _without(rest, piece)
    if any(slot.name == wanted and slot.kind == "text" for slot in slots) and text:
        values[wanted] = set_phrases.value_in(text)[:LONGEST].strip()
    return Extracted(values, rest)


_KINDS = ("order_number", "date", "choice", "number", "text")


def _precedence(wanted: str) -> Callable[[Slot], tuple[int, bool]]:
    """Returns the order of slots: what is written most narrowly first, so that no number eats a
    date.
    """
    return lambda slot: (_KINDS.index(slot.kind), slot.name != wanted)


def candidates(slot: Slot, text: str, today: date | None) -> list[tuple[str, Value]]:
    """Returns all values that a slot may have by a text, each with its characters."""
    if slot.kind == "order_number":
        return list(matches(slot.pattern, text))
    if slot.kind == "date":
        return [(piece, day.isoformat()) for piece, day in dates(text, today)]
    if slot.kind == "number":
        return list(numbers(text))
    return _chosen(slot, text) if slot.kind == "choice" else []


def _chosen(slot: Slot, text: str) -> list[tuple[str, Value]]:
    """Returns the choice that a text names; none if it names two."""
    named: dict[str, str] = {}
    pairs = [(word, choice.value) for choice in slot.choices for word in _words_of(choice)]
    rest = text
    for word, value in sorted(pairs, key=lambda pair: -len(pair[0])):
        if set_phrases.has_one(rest, [word]):
            named.setdefault(value, word)
            rest = _without(rest, word)
    return [(word, value) for value, word in named.items()] if len(named) == 1 else []


def _words_of(choice: Choice) -> list[str]:
    return [choice.value, *(word for words in choice.words.values() for word in words)]


def _without(text: str, piece: str) -> str:
    return re.sub(re.escape(piece), " ", text, count=1, flags=re.IGNORECASE)


def cleaned(text: str) -> str:
    """Returns a text in one line, without characters that nobody sees."""
    return " ".join(_UNSEEN.sub(" ", unicodedata.normalize("NFKC", text)).split())
