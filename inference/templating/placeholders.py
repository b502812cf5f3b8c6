"""`{{name}}` in a template's text: the whole syntax there is.

A text is filled in one pass, and what has been put in is never looked at again: whatever a value
holds, it is text.
"""

import re
from collections.abc import Iterator, Mapping

NAME = "[A-Za-z][A-Za-z0-9_]{0,39}"
_PLACEHOLDER = re.compile(r"\{\{[ \t]{0,8}(%s)[ \t]{0,8}\}\}" % NAME)  # noqa: UP031
# Whatever people, or a careless normalisation further on, may take for one. Bounded: linear.
_OPENS, _CLOSES = "[{\uff5b\ufe5b\ufe37]", "[}\uff5d\ufe5c\ufe38]"
_ALIKE = re.compile(rf"{_OPENS}{{2}}[\w\s.\-]{{1,80}}{_CLOSES}{{2}}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Raises KeyError for a placeholder without a value."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def names(text: str) -> Iterator[str]:
    """Of all placeholders, as often as they stand there."""
    return (found[1] for found in _PLACEHOLDER.finditer(text))


def alike(text: str) -> str | None:
    """The first piece that looks like a placeholder."""
    found = _ALIKE.search(text)
    return found[0] if found else None


def unknown(text: str, known: set[str]) -> str | None:
    """The first piece that looks like a placeholder and is none of a known name."""
    for found in _ALIKE.finditer(text):
        placeholder = _PLACEHOLDER.fullmatch(found[0])
        if placeholder is None or placeholder[1] not in known:
            return found[0]
    return None
