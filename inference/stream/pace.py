"""How often frames of one stream leave: no oftener than a screen shows a picture.

Each token by itself costs every process on its way a wake-up. Tokens that come faster than
PICTURE_S are read together once in that time; a slower stream's leave as they come.
"""

PICTURE_S = 1 / 60


class Pace:
    """Of one stream. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def is_fast(self, came: int, now: float) -> bool:
        """Whether to look again only in PICTURE_S; `came`: events since the last look."""
        since, self._last = now - self._last, now
        return came > 1 or since < PICTURE_S
