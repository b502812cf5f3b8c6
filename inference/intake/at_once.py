"""How many of something are open at once in this process: by whoever they count for, and in all."""

from collections import Counter
from collections.abc import Hashable

EVERYBODY = "everybody"


class AtOnce:
    """`most`: in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[Hashable] = Counter()

    def enter(self, *limits: tuple[Hashable, int]) -> Hashable | None:
        """Counts one more for each name; or answers whose limit is reached, and counts nothing."""
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
