"""Limits how many of something are open in this process, for each owner and in all."""

from collections import Counter
from collections.abc import Hashable

EVERYBODY = "everybody"


class ConcurrencyLimit:
    """Counts what is open. `most` is the limit for all owners together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[Hashable] = Counter()

    def enter(self, *limits: tuple[Hashable, int]) -> Hashable | None:
        """Count one more for each name.

        If a limit is reached, it counts nothing and returns the limit's name.
        """
        for name, most in (*limits, (EVERYBODY, self._most)):
            if self._open[name] >= most:
                return name
        self._open.update([EVERYBODY, *(name for name, _ in limits)])
        return None

    def leave(self, *names: Hashable) -> None:
        for name in (EVERYBODY, *names):
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]

    def __len__(self) -> int:
        return self._open[EVERYBODY]
