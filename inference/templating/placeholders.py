"""`{{name}}` in a template's text, which is the whole syntax.

A text is filled in one pass, and inserted values are not searched again: they are plain text.
"""

import re
from collections.abc import Iterator, Mapping

NAME = "[A-Za-z][A-Za-z0-9_]{0,39}"
_PLACEHOLDER = re.compile(r"\{\{[ \t]{0,8}(%s)[ \t]{0,8}\}\}" % NAME)  # noqa: UP031
# Texts that people, or a later normalisation, may take for one. It is bounded, so linear.
_OPENS, _CLOSES = "[{\uff5b\ufe5b\ufe37]", "[}\uff5d\ufe5c\ufe38]"
_ALIKE = re.compile(rf"{_OPENS}{{2}}[\w\s.\-]{{1,80}}{_CLOSES}{{2}}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill a text. Raises KeyError for a placeholder without a value."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def names(text: str) -> Iterator[str]:
    """Yields the names of all placeholders, repeated ones too."""
    return (match[1] for match in _PLACEHOLDER.finditer(text))


def alike(text: str) -> str | None:
    """Returns the first piece that looks like a placeholder."""
    match = _ALIKE.search(text)
    return match[0] if match else None


def unknown(text: str, declared: set[str]) -> str | None:
    """Returns the first piece that looks like a placeholder without a known name."""
    for match in _ALIKE.finditer(text):
        placeholder = _PLACEHOLDER.fullmatch(match[0])
        if placeholder is None or placeholder[1] not in declared:
            return match[0]
    return None
