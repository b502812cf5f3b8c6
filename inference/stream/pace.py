"""Limits how often frames of one stream leave: not more often than a screen refreshes.

Each single token costs every process on its way a wake-up. Tokens that come faster than PICTURE_S
are read together once in that time; those of a slower stream leave as they come.
"""

PICTURE_S = 1 / 60


class Pace:
    """The pace of one stream. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def is_fast(self, count: int, now: float) -> bool:
        """Returns whether to read on only after PICTURE_S; `count` events came since last time."""
        since, self._last = now - self._last, now
        return count > 1 or since < PICTURE_S
