"""Patterns of order numbers: a part of regular expressions that is always fast.

They come from tenants and run on texts of people in web processes, so whatever could take long is
refused: no groups, no alternatives, no look-around, few repetitions, all bounded.
"""

import re
import warnings
from functools import lru_cache

from django.utils.translation import gettext as _

LONGEST = 100
_MOST_REPEATED, _MOST_OPEN = 40, 2  # of a character; repetitions of no fixed length
_CHARACTER = r"(?:\\[dw.\-/#+*?()\[\]{}|\\]|\[(?:\\[dw\-\]\\]|[A-Za-z0-9_/#. -])+\]|[\w/#: -])"
_PART = re.compile(rf"(?P<character>{_CHARACTER})(?P<times>\{{\d{{1,2}}(?:,\d{{1,2}})?\}}|\?)?")


def problem(pattern: str) -> str:
    """Returns what is wrong with a pattern, or ""."""
    if not pattern or len(pattern) > LONGEST:
        return _("A pattern has 1 to %d characters.") % LONGEST
    parts, end, most_open = [], 0, 0
    while end < len(pattern):
        match = _PART.match(pattern, end)
        if match is None:
            text = _("A pattern has letters, digits, [A-Z], \\d and {1,9} only: see from “%s”.")
            return text % pattern[end : end + 12]
        parts.append(match)
        end = match.end()
    for part in parts:
        least, most = _times(part["times"])
        if not least <= most <= _MOST_REPEATED or not most:
            return _("A repetition is {1} to {%d}.") % _MOST_REPEATED
        most_open += least < most
    if most_open > _MOST_OPEN:
        return _("At most %d repetitions have no fixed length.") % _MOST_OPEN
    return _compile_problem(pattern)


def _times(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    if text == "?":
        return 0, 1
    least, _comma, most = text.strip("{}").partition(",")
    return int(least), int(most or least)


def _compile_problem(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            matcher = re.compile(pattern, re.ASCII)
    except (re.error, FutureWarning) as error:
        return _("This is no pattern: %s.") % error
    if matcher.fullmatch(""):
        return _("A pattern must not match the empty text.")
    return ""


@lru_cache(maxsize=512)
def _matchers(pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    word = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
    return re.compile(word, re.IGNORECASE | re.ASCII), re.compile(pattern, re.ASCII)


def matches(pattern: str, text: str) -> list[tuple[str, str]]:
    """Returns what matches in a text, in any case: as written, and in the pattern's case."""
    any_case, exact = _matchers(pattern)
    return [(match[0], _in_case(match[0], exact)) for match in any_case.finditer(text)]


def _in_case(text: str, exact: re.Pattern[str]) -> str:
    forms = (text, text.upper(), text.lower())
    return next((form for form in forms if exact.fullmatch(form)), text)
