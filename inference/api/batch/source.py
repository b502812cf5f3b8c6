"""Which line is next: those that wait in the file's order, and some a second time.

Each model has a lane of its own, so that lines of one that cannot begin hold up no others.
"""

import asyncio
from collections import deque

from inference.api.batch import lines
from inference.api.batch.threads import in_thread
from inference.models import Batch, BatchLine


class Lane:
    def __init__(self, batch: Batch, model: str, begun: set[int]) -> None:
        self._batch, self._model, self._begun = batch, model, begun
        self._ahead: deque[BatchLine] = deque()
        self._again: list[tuple[float, BatchLine]] = []  # with the loop's time
        self._after, self._exhausted = 0, False

    @property
    def is_empty(self) -> bool:
        return self._exhausted and not (self._ahead or self._again)

    async def fill(self) -> None:
        """Reads on in the database, where too little is known."""
        while not (self._ahead or self._exhausted):
            rows = await in_thread(lines.waiting, self._batch, self._model, self._after)
            self._after = rows[-1].number if rows else self._after
            self._exhausted = len(rows) < lines.AHEAD
            self._ahead += [row for row in rows if row.number not in self._begun]

    def next(self) -> BatchLine | None:
        now = asyncio.get_running_loop().time()
        for number, (due, line) in enumerate(self._again):
            if due <= now:
                del self._again[number]
                return line
        return self._ahead.popleft() if self._ahead else None

    def put_back(self, line: BatchLine, after_s: float) -> None:
        self._again.append((asyncio.get_running_loop().time() + after_s, line))


class Source:
    def __init__(self, batch: Batch, models: list[str], begun: set[int]) -> None:
        """`begun`: numbers of lines that are requests already."""
        self._lanes = {model: Lane(batch, model, begun) for model in models}

    @property
    def is_empty(self) -> bool:
        return not self.models

    @property
    def models(self) -> list[str]:
        """Of which lines wait."""
        return [model for model, lane in self._lanes.items() if not lane.is_empty]

    async def fill(self) -> None:
        for lane in self._lanes.values():
            await lane.fill()

    async def next(self, model: str) -> BatchLine | None:
        lane = self._lanes[model]
        line = lane.next()
        await lane.fill()
        return line

    def put_back(self, line: BatchLine, after_s: float = 0.0) -> None:
        self._lanes[line.model].put_back(line, after_s)
