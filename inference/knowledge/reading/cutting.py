"""Cuts sections into passages: a few paragraphs each, as long as an embedding model reads well.

A cut is made between two paragraphs; in a long paragraph between lines, then sentences, then words.
"""

import re
from collections.abc import Iterator

from inference.knowledge import token_estimate
from inference.knowledge.reading.section import Section

MOST = 220  # tokens of a passage, by inference/knowledge/token_estimate.py
_PARAGRAPH = re.compile(r"\n\s*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])")
_WORD = re.compile(r"\s+")
_BETWEEN = (("\n\n", _PARAGRAPH), ("\n", _LINE), (" ", _SENTENCE), (" ", _WORD))


def passages(section: Section, most: int = MOST) -> Iterator[Section]:
    """Yields the section in parts of at most `most` tokens; nothing for one without a text."""
    for text in _parts(section.text, most, 0):
        yield section._replace(text=text)


def _parts(text: str, most: int, level: int) -> Iterator[str]:
    if not text.strip():
        return
    if token_estimate.tokens(text) <= most:
        yield text.strip()
    elif level == len(_BETWEEN):
        yield from _hard(text, most)
    else:
        yield from _gathered(text, most, level)


def _gathered(text: str, most: int, level: int) -> Iterator[str]:
    """Yields as many pieces together as fit; a piece that is too long is cut at the next level."""
    joint, separator = _BETWEEN[level]
    parts, size = list[str](), 0
    for piece in separator.split(text):
        length = token_estimate.tokens(piece)
        if parts and size + length > most:
            yield joint.join(parts).strip()
            parts, size = [], 0
        if length > most:
            yield from _parts(piece, most, level + 1)
        elif length:
            parts.append(piece)
            size += length
    if parts:
        yield joint.join(parts).strip()


def _hard(text: str, most: int) -> Iterator[str]:
    """Yields pieces of a text without any space, each of so many characters."""
    for start in range(0, len(text), most):
        yield text[start : start + most]
