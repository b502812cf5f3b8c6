"""Picks the next line: waiting ones in the file's order, and those that are retried.

Each model has a lane of its own, so that lines of one that cannot begin delay no others. Lines may
be held for a while: all, or those of one model.
"""

import asyncio
from collections import deque

from inference.api.batch import lines
from inference.api.batch.lines import in_thread
from inference.batch.file_store import FileReader
from inference.models import Batch, BatchLine


class Lane:
    def __init__(self, batch: Batch, model: str, submitted: set[int]) -> None:
        self._batch, self._model, self._submitted = batch, model, submitted
        self._ahead: deque[BatchLine] = deque()
        self._again: list[tuple[float, BatchLine]] = []  # with the loop's time
        self._after, self._exhausted = 0, False

    @property
    def is_empty(self) -> bool:
        return self._exhausted and not (self._ahead or self._again)

    async def fill(self) -> None:
        """Read further rows from the database if none are left here."""
        while not (self._ahead or self._exhausted):
            rows = await in_thread(lines.waiting, self._batch, self._model, self._after)
            self._after = rows[-1].number if rows else self._after
            self._exhausted = len(rows) < lines.AHEAD
            self._ahead += [row for row in rows if row.number not in self._submitted]

    def next(self) -> BatchLine | None:
        now = asyncio.get_running_loop().time()
        for number, (due_at, line) in enumerate(self._again):
            if due_at <= now:
                del self._again[number]
                return line
        return self._ahead.popleft() if self._ahead else None

    def put_back(self, line: BatchLine, after_s: float) -> None:
        self._again.append((asyncio.get_running_loop().time() + after_s, line))


class Source:
    def __init__(
        self, batch: Batch, models: list[str], submitted: set[int], reader: FileReader
    ) -> None:
        """`submitted` are the numbers of lines that are requests already."""
        self._reader, self._reading = reader, asyncio.Lock()
        self._lanes = {model: Lane(batch, model, submitted) for model in models}

    @property
    def is_empty(self) -> bool:
        return not self.models

    @property
    def models(self) -> list[str]:
        """Returns the models of the remaining lines."""
        return [model for model, lane in self._lanes.items() if not lane.is_empty]

    async def fill(self) -> None:
        for lane in self._lanes.values():
            await lane.fill()

    async def next(self, model: str) -> BatchLine | None:
        lane = self._lanes[model]
        line = lane.next()
        await lane.fill()
        return line

    async def text(self, line: BatchLine) -> bytes:
        async with self._reading:  # the reader keeps one piece
            return await in_thread(self._reader.read, line.offset, line.length)

    def put_back(self, line: BatchLine, after_s: float = 0.0) -> None:
        self._lanes[line.model].put_back(line, after_s)


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
