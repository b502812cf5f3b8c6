"""The length of an answer, by its intent, the channel, and the person's wish."""

import re

from inference.assistants.spec import AssistantSpec, Length
from inference.assistants.state import State, Step

_ORDER: tuple[Length, ...] = ("short", "medium", "long")
_OF_CHANNELS: dict[str, Length] = {"sms": "short", "voice": "short", "widget": "medium"}
SENTENCES: dict[Length, int] = {"short": 2, "medium": 4, "long": 10}
TOKENS: dict[Length, int] = {"short": 80, "medium": 200, "long": 500}
_CHARACTERS: dict[Length, int] = {"short": 300, "medium": 800, "long": 2_500}
_SENTENCE = re.compile(r".+?(?:[。！？!?]+[”」’\"']?|\.(?=\s|$)|\n+|$)", re.DOTALL)


def length_of(spec: AssistantSpec, state: State, step: Step, channel: str = "") -> Length:
    """Returns the length of a step's answer.

    A person's wish counts more than the intent. A channel bounds it: a telephone reads out no
    essay. Who wishes long answers there gets them of medium length.
    """
    intent = spec.intent(getattr(step, "intent", ""))
    wanted: Length = state.wish or (intent.length if intent else "medium")
    most = _OF_CHANNELS.get(channel, "long")
    if state.wish == "long" and most != "long":
        most = _ORDER[_ORDER.index(most) + 1]
    return min(wanted, most, key=_ORDER.index)


def shortened(text: str, length: Length) -> str:
    """Returns the first sentences of a text, as many as the length has."""
    whole, sentences = "", 0
    for match in _SENTENCE.finditer(text.strip()):
        if sentences == SENTENCES[length] or len(whole) + len(match[0]) > _CHARACTERS[length]:
            break
        whole, sentences = whole + match[0], sentences + bool(match[0].strip())
    return whole.strip() or text.strip()[: _CHARACTERS[length]] + "…"
