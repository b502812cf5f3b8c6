"""Moments whose log is still to be stored.

The receiver says once a second how far it is: on a busy database it is never at the end.
"""

from collections import deque

_MOST = 10_000  # looks; older ones are forgotten while the place is away


class Backlog:
    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_MOST)

    def add(self, moment: float, written: int) -> None:
        """Note the position up to which the log was written at a moment."""
        self._looks.append((moment, written))

    def stored_until(self, position: int) -> float | None:
        """Returns the last moment of which all is stored now, None if there is no new one."""
        moment = None
        while self._looks and self._looks[0][1] <= position:
            moment, _ = self._looks.popleft()
        return moment
