"""What a model thinks before it answers: kept with the answer, shown apart from it, and never sent
back to a model as something that was said.

Engines tell it in a field of its own (`reasoning_content`; newer vLLM: `reasoning`) or inside the
text, between <think> and </think>. static/chat/reasoning.js parts a growing text by the same rule.
"""

from typing import NamedTuple

OPENS, CLOSES = "<think>", "</think>"
_MARK = b"\xff"  # between both when they are stored: no UTF-8 text contains it


class Said(NamedTuple):
    text: str
    reasoning: str = ""


def parted(said: Said) -> Said:
    """The reasoning taken out of the text, where no field told it."""
    if said.reasoning:
        return said
    text = said.text.lstrip()
    if text.startswith(OPENS):
        thought, _, answer = text.removeprefix(OPENS).partition(CLOSES)
        return Said(answer.lstrip(), thought.strip())
    # Where the chat template has opened it, the answer only closes it, on a line of its own.
    thought, closes, answer = f"\n{said.text}".partition(f"\n{CLOSES}")
    if closes and OPENS not in thought:
        return Said(answer.lstrip(), thought.strip())
    return said


def as_one_text(said: Said) -> str:
    """For the record: all that its reader got."""
    if not said.reasoning:
        return said.text
    return f"{OPENS}\n{said.reasoning}\n{CLOSES}\n\n{said.text}"


def packed(said: Said) -> bytes:
    text = said.text.encode()
    return text + _MARK + said.reasoning.encode() if said.reasoning else text


def unpacked(stored: bytes) -> Said:
    text, _, reasoning = stored.partition(_MARK)
    return Said(text.decode(), reasoning.decode())
