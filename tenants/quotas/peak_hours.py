"""Hours of the week, in UTC: `Mon-Fri 01:00-04:00, 06:00-10:00`, or without days for every day.

A window that ends before it begins includes midnight, and belongs to the day on which it begins.
"""

import re
from dataclasses import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(DAYS)
_TEXT = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?(\d.*)", re.ASCII)
_WINDOW = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_DAY_S, _MIDNIGHT = 86_400, 24 * 60
_FIRST_DAY = DAYS.index("Thu")  # 1970-01-01


@dataclass(frozen=True, slots=True)
class PeakHours:
    days: frozenset[int]  # days on which a window begins; 0 is Monday
    windows: tuple[tuple[int, int], ...]  # minutes of the day: start, and end (exclusive)

    @classmethod
    def parse(cls, text: str) -> "PeakHours":
        """Parses the text. Raises ValueError."""
        if not (match := _TEXT.fullmatch(text.strip())):
            raise ValueError("must be like Mon-Fri 01:00-04:00, 06:00-10:00")
        first, last, windows = match.groups()
        return cls(_days(first, last or first), tuple(map(_window, windows.split(","))))

    def covers(self, at: float) -> bool:
        """Returns True if `at`, seconds since the epoch, is in a window."""
        day, second = divmod(int(at), _DAY_S)
        day, minute = (day + _FIRST_DAY) % 7, second // 60
        return any(self._inside(day, minute, *window) for window in self.windows)

    def _inside(self, day: int, minute: int, start: int, end: int) -> bool:
        if start < end:
            return day in self.days and start <= minute < end
        began_today = day in self.days and minute >= start
        return began_today or ((day - 1) % 7 in self.days and minute < end)


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if not first or not last:
        return frozenset(range(7))
    begins, ends = DAYS.index(first), DAYS.index(last)
    return frozenset((begins + n) % 7 for n in range((ends - begins) % 7 + 1))


def _window(text: str) -> tuple[int, int]:
    if not (match := _WINDOW.fullmatch(text.strip())):
        raise ValueError(f"{text.strip()!r} is not like 01:00-04:00")
    hours, minutes, end_hours, end_minutes = map(int, match.groups())
    start, end = hours * 60 + minutes, end_hours * 60 + end_minutes
    if start >= _MIDNIGHT or end > _MIDNIGHT or start == end:
        raise ValueError(f"{text.strip()!r} is no part of a day")
    return start, end
