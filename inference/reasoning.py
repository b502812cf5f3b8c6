"""Reasoning of a model before its answer: stored with the answer and shown apart from it.

It is never sent back to a model. Engines send it in a field of its own (`reasoning_content`; newer
vLLM: `reasoning`) or inside the text, between <think> and </think>. static/chat/reasoning.js splits
a growing text by the same rule.
"""

from typing import NamedTuple

OPENS, CLOSES = "<think>", "</think>"
_MARK = b"\xff"  # between both when they are stored: no UTF-8 text contains it


class Said(NamedTuple):
    text: str
    reasoning: str = ""


def parted(message: Said) -> Said:
    """Take the reasoning out of the text, unless a field had it."""
    if message.reasoning:
        return message
    text = message.text.lstrip()
    if text.startswith(OPENS):
        reasoning, _, answer = text.removeprefix(OPENS).partition(CLOSES)
        return Said(answer.lstrip(), reasoning.strip())
    # If the chat template opened it, the answer only closes it, on a line of its own.
    reasoning, closes, answer = f"\n{message.text}".partition(f"\n{CLOSES}")
    if closes and OPENS not in reasoning:
        return Said(answer.lstrip(), reasoning.strip())
    return message


def as_one_text(message: Said) -> str:
    """Returns both in one text for the record, as its reader got it."""
    if not message.reasoning:
        return message.text
    return f"{OPENS}\n{message.reasoning}\n{CLOSES}\n\n{message.text}"


def packed(message: Said) -> bytes:
    text = message.text.encode()
    return text + _MARK + message.reasoning.encode() if message.reasoning else text


def unpacked(stored: bytes) -> Said:
    text, _, reasoning = stored.partition(_MARK)
    return Said(text.decode(), reasoning.decode())
