"""Dates in a sentence, written out or relative to today.

A date that two countries read differently (03/04/2026) is none: the assistant asks again.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_WRITTEN = [
    re.compile(r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?:(?P<year>\d{4})\s?年\s?)?(?P<month>\d{1,2})\s?月\s?(?P<day>\d{1,2})\s?[日号]?"),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}\b{_YEAR}"),
    re.compile(rf"\b{_MONTH}\s+{_DAY}\b{_YEAR}"),
    re.compile(r"(?<!\d)(?P<one>\d{1,2})[/.](?P<other>\d{1,2})[/.](?P<year>\d{4})(?!\d)"),
]
_DAYS = {"day before yesterday": -2, "day after tomorrow": 2, "yesterday": -1, "today": 0}
_DAYS |= {"tonight": 0, "tomorrow": 1, "大后天": 3, "前天": -2, "昨天": -1, "今天": 0, "明天": 1}
_DAYS |= {"后天": 2}
_NEAR = re.compile("|".join(sorted(map(re.escape, _DAYS), key=len, reverse=True)))
_WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_ENGLISH_WEEKDAY = re.compile(
    r"\b(?P<which>last|next|this|on)?\s*(?P<day>mon|tues|wednes|thurs|fri|satur|sun)day\b"
)
_CHINESE_WEEKDAY = re.compile(r"(?P<which>上|下|这|本)?(?:周|星期|礼拜)(?P<day>[一二三四五六日天])")


def dates(text: str, today: date | None) -> list[tuple[str, date]]:
    """Returns the dates of a text, each with its characters. Relative ones need `today`."""
    text = unicodedata.normalize("NFKC", text).lower()[:5_000]
    pieces = [*_written(text, today), *(_relative(text, today) if today else ())]
    return [(piece, day) for _start, piece, day in sorted(pieces)]


def _written(text: str, today: date | None) -> Iterator[tuple[int, str, date]]:
    for pattern in _WRITTEN:
        for match in pattern.finditer(text):
            if day := _day(match.groupdict(), today):
                yield match.start(), match[0], day


def _day(parts: dict[str, str | None], today: date | None) -> date | None:
    year = int(parts["year"] or 0) or (today.year if today else 0)
    if "one" in parts:
        month, day = _unambiguous(int(parts["one"] or 0), int(parts["other"] or 0))
    else:
        month, day = _month(parts["month"] or ""), int(parts["day"] or 0)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _month(text: str) -> int:
    return int(text) if text.isdigit() else _MONTHS.index(text[:3]) + 1


def _unambiguous(one: int, other: int) -> tuple[int, int]:
    """Returns month and day, or zeros if either could be the month."""
    if one == other or other > 12:
        return one, other
    return (other, one) if one > 12 else (0, 0)


def _relative(text: str, today: date) -> Iterator[tuple[int, str, date]]:
    for match in _NEAR.finditer(text):
        yield match.start(), match[0], today + timedelta(days=_DAYS[match[0]])
    for match in _ENGLISH_WEEKDAY.finditer(text):
        weekday = _WEEKDAYS.index(match["day"][:3])
        yield match.start(), match[0], _weekday(today, weekday, match["which"] or "")
    for match in _CHINESE_WEEKDAY.finditer(text):
        weekday = "一二三四五六日天".index(match["day"])
        yield match.start(), match[0], _of_week(today, min(weekday, 6), match["which"] or "")


def _weekday(today: date, weekday: int, which: str) -> date:
    """Returns the last such day before today, or the first after it."""
    if which == "last":
        return today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def _of_week(today: date, weekday: int, which: str) -> date:
    """Returns the day of last, this or next week, as Chinese counts: weeks begin on Monday."""
    weeks = {"上": -1, "下": 1}.get(which, 0)
    return today + timedelta(days=weekday - today.weekday() + 7 * weeks)
