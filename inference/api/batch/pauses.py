"""Pauses of a batch's lines: of all, or of one model."""

import asyncio


class Holds:
    def __init__(self) -> None:
        self._until: dict[str | None, float] = {}  # by model; None: all lines; by the loop's clock

    def hold(self, seconds: float, model: str | None = None) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._until[model] = max(self._until.get(model, 0.0), until)

    def remaining_s(self, model: str | None = None) -> float:
        """Returns the seconds until it may begin, 0 if it may now."""
        until = max(self._until.get(None, 0.0), self._until.get(model, 0.0))
        return max(0.0, until - asyncio.get_running_loop().time())
