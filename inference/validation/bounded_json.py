"""Reads JSON from anybody: its parts are counted before they become objects.

4 MiB of `[],` take a second to read, and another to walk; they fit into 4 KB of gzip. Counting
takes some milliseconds, whatever the text is.
"""

from collections.abc import Iterable
from typing import Any

import orjson

LIGHT = 16 * 1024  # bytes: shorter texts, nearly all requests, are not counted
MOST_CONTAINERS = 20_000  # objects and lists
MOST_TEXTS = 65_536  # names of fields among them
MOST_VALUES = 262_144
MOST_LEVELS = 64  # of a document that is stored: orjson writes 254, and reads 1,024


class TooManyValues(ValueError):
    """The message names what there is too much of, and the bound."""


def loads(raw: bytes) -> Any:
    """Parse JSON. Raises ValueError, which TooManyValues is one of."""
    if len(raw) > LIGHT:
        containers(raw)
    return orjson.loads(raw)


def shallow(raw: bytes) -> Any:
    """Parse JSON of at most MOST_LEVELS levels, which can be written again. Raises ValueError."""
    document = loads(raw)
    if raw.count(b"[") + raw.count(b"{") > MOST_LEVELS and _is_deep(document):
        raise ValueError(f"it has more than {MOST_LEVELS} levels")
    return document


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MOST_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
    return any(isinstance(each, dict | list) for each in level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def holds_nul(document: Any) -> bool:
    """Returns whether a text in it has a NUL, which PostgreSQL cannot store."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, list):
            pending += value
    return False


def containers(raw: bytes, most: int = MOST_CONTAINERS) -> int:
    """Returns an upper bound of the number of objects and lists. Raises TooManyValues.

    Brackets in texts count, too. They are told apart only if the bound is exceeded with them.
    """
    try:
        return _counted(raw, most)
    except TooManyValues:
        # Without escapes every quote begins or ends a text (RFC 8259, section 7).
        plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
        if plain.count(b'"') > 2 * MOST_TEXTS:
            raise
        return _counted(b'""'.join(plain.split(b'"')[::2]), most)


def _counted(raw: bytes, most: int) -> int:
    count = raw.count(b"[") + raw.count(b"{")
    if count > most:
        raise TooManyValues(f"it has more than {most} objects and lists")
    if raw.count(b",") > MOST_VALUES:
        raise TooManyValues(f"it has more than {MOST_VALUES} values")
    if raw.count(b'"') > 2 * MOST_TEXTS:
        raise TooManyValues(f"it has more than {MOST_TEXTS} texts and names of fields")
    return count
