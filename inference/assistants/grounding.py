"""Looks for an answer's figures, names, links and dates in its sources.

It is a check of what can be checked by rules. It does not see a sentence that turns a meaning round
with the sources' own words.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from inference.assistants import set_phrases
from inference.assistants.slots.dates import dates
from inference.assistants.slots.numbers import numbers
from inference.assistants.spec import Value
from inference.assistants.wording import Passage

_LINK = re.compile(r"(?:https?://|www\.)[^\s<>()\"'，。）]+|[\w.+-]+@[\w-]+\.[\w.]+", re.IGNORECASE)
_CITATION = re.compile(r"\[\d{1,2}\]|^\s*\d{1,2}[.)、]\s", re.MULTILINE)
_WITH_DIGIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_ALONE = r"(?<![A-Za-z0-9_-])"
_NAME = re.compile(
    rf"{_ALONE}[A-Z][A-Za-z0-9À-ÿ’'-]*[a-z0-9][A-Za-z0-9À-ÿ’'-]*|{_ALONE}[A-Z]{{2,}}(?![A-Za-z0-9-])"
)
_BEGINS_SENTENCE = re.compile(r"(?:^|[.!?:;。！？：；\n•*-]\s*|[“\"(（\]]\s*)$")
_UNITS = {
    "day": ["day", "days", "天", "日"], "week": ["week", "weeks", "周", "星期"],
    "month": ["month", "months", "月", "个月"], "year": ["year", "years", "年"],
    "hour": ["hour", "hours", "小时"], "minute": ["minute", "minutes", "分钟"],
    "percent": ["%", "percent", "per cent"], "euro": ["€", "eur", "euro", "euros", "欧元"],
    "dollar": ["$", "usd", "dollar", "dollars", "美元"], "yuan": ["¥", "元", "rmb", "cny", "yuan"],
    "pound": ["£", "gbp", "pounds"], "kg": ["kg", "公斤"], "km": ["km", "公里"],
}  # fmt: skip
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_UNIT = "|".join(sorted(map(re.escape, _UNIT_OF), key=len, reverse=True))
_BEFORE = re.compile(r"[€$¥£]\s?$")
_AFTER = re.compile(rf"\s?(?:working |business |个工作|个)?(?:{_UNIT})(?![a-z])", re.IGNORECASE)
Quantity = tuple[float, str]
_NO_NAMES = {"i", "the", "a", "an", "ok", "yes", "no", "please", "english", "chinese"}


def supported(text: str, passages: Sequence[Passage], facts: Mapping[str, Value]) -> bool:
    """Returns whether everything in an answer that can be checked stands in sources or facts."""
    return not unsupported(text, passages, facts)


def unsupported(text: str, passages: Sequence[Passage], facts: Mapping[str, Value]) -> list[str]:
    """Returns the figures, names, links and dates of an answer that stand in no source."""
    sources = _normal("\n".join([*_texts(passages), *map(str, facts.values())]))
    text = _CITATION.sub(" ", _normal(text))
    links = [link for link in _links(text) if link.lower() not in sources.lower()]
    text = _LINK.sub(" ", text)
    days = _dates(text).keys() - _dates(sources).keys()
    written = [piece for day, piece in _dates(text).items() if day in days]
    for piece in _dates(text).values():
        text = re.sub(re.escape(piece), " ", text, flags=re.IGNORECASE)
    return [*links, *written, *_figures(text, sources), *_names(text, sources)]


def speaks(text: str, language: str) -> bool:
    """Returns whether a text is in the language, as far as its script shows."""
    return set_phrases.language(text, language, ["en", "zh"]) == language


def _texts(passages: Sequence[Passage]) -> Iterable[str]:
    for passage in passages:
        yield from (passage.title, passage.url, passage.text)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _links(text: str) -> list[str]:
    return [match[0].rstrip(".,;:!?") for match in _LINK.finditer(text)]


def _dates(text: str) -> dict[date, str]:
    return {day: piece for piece, day in dates(text, None)}


# Figures ----------------------------------------------------------------------------------------
def _figures(text: str, sources: str) -> list[str]:
    """Returns figures that no source has, or none has with that unit."""
    amounts, codes = dict(_quantities(sources)), _codes(sources)
    values = {value for value, _unit in amounts}
    wrong = [
        piece
        for (value, unit), piece in _quantities(text).items()
        if (value, unit) not in amounts and (unit or value not in values)
    ]
    return wrong + [code for code in _codes(text) if code not in codes and not _is_number(code)]


def _quantities(text: str) -> dict[Quantity, str]:
    """Returns the numbers of a text with their units. One and zero in words are no figures."""
    quantities: dict[Quantity, str] = {}
    end = 0
    for piece, value in numbers(text):
        start = text.find(piece, end)
        end = start + len(piece)
        unit = _unit(text[max(0, start - 2) : start], text[end : end + 20])
        if value > 1 or piece[:1].isdigit() or unit:
            quantities.setdefault((float(value), unit), piece)
    return quantities


def _unit(before: str, after: str) -> str:
    if match := _BEFORE.search(before):
        return _UNIT_OF[match[0].strip()]
    match = _AFTER.match(after)
    if match is None:
        return ""
    words = [word for word in _UNIT_OF if match[0].lower().endswith(word)]
    return _UNIT_OF[max(words, key=len)] if words else ""


def _codes(text: str) -> set[str]:
    """Returns words with digits, such as order numbers, times and telephone numbers."""
    words = (match[0].strip("._:/-").lower() for match in _WITH_DIGIT.finditer(text))
    return {word for word in words if any(char.isdigit() for char in word)}


def _is_number(code: str) -> bool:
    """Returns whether `_quantities` has checked it."""
    return any(piece == code for piece, _value in numbers(code))


# Names ------------------------------------------------------------------------------------------
def _names(text: str, sources: str) -> list[str]:
    """Returns words with a capital that no source has. The first word of a sentence is no name."""
    words = {word.lower() for word in re.findall(r"[A-Za-z0-9À-ÿ’'-]+", sources)}
    names = (match for match in _NAME.finditer(text) if not _is_common(match, text))
    return [match[0] for match in names if _stem(match[0]) not in words]


def _stem(name: str) -> str:
    return re.sub(r"[’']s$", "", name).lower()


def _is_common(match: re.Match[str], text: str) -> bool:
    if match[0].lower() in _NO_NAMES:
        return True
    capitals = sum(char.isupper() for char in match[0])
    return capitals == 1 and _BEGINS_SENTENCE.search(text[: match.start()]) is not None
