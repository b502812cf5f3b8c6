"""The lines of a batch that are requests now, submitted by this process or by one that died.

A tenant's limit of them is shared among its batches.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from django.conf import settings

from inference.api.batch import lines
from inference.api.batch.lines import in_thread
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.models import BatchLine
from inference.order import Order
from inference.record.recorded_requests import recorded_order
from inference.stream.frames import Frame, Kind

LOOK_S = 3.0  # between checks for lost answers
AGAIN_S, MOST_S = 0.5, 3.0  # between checks whether all are over, at first and later
FOREVER_S = 3600.0
LAST = 99  # an attempt that outranks all others
Settled = dict[UUID, tuple[int, str]]  # status and error code, by completion


class InFlight:
    def __init__(self, context: Context) -> None:
        self._context = context
        self.tasks: dict[int, asyncio.Task[None]] = {}  # by the line's number
        self._models: dict[int, str] = {}  # by the line's number
        self.adopted: dict[UUID, BatchLine] = {}  # submitted by another process, by completion
        self._answers: dict[UUID, tuple[AnswerStream, BatchLine]] = {}  # awaited by tasks
        self._suspect: set[UUID] = set()  # settled at the last check
        self._looked_at = 0.0

    def begin(self, line: BatchLine, work: Coroutine[Any, Any, None]) -> None:
        self.tasks[line.number] = asyncio.create_task(work)
        self._models[line.number] = line.model

    def forget(self, line: BatchLine) -> None:
        """Forget the line: it is over, adopted, or put back."""
        self.tasks.pop(line.number, None)
        self._models.pop(line.number, None)

    def count(self, model: str) -> int:
        """Returns how many lines of this model are in flight."""
        adopted = sum(line.model == model for line in self.adopted.values())
        return adopted + sum(each == model for each in self._models.values())

    def __len__(self) -> int:
        return len(self.tasks) + len(self.adopted)

    async def final(self, answer: AnswerStream, line: BatchLine) -> Frame:
        """Returns the last frame. `settled` looks for lost answers of all lines together."""
        self._answers[answer.order.id] = answer, line
        try:
            while True:
                frame = await answer.buffer.next(FOREVER_S)
                if frame and frame.final:
                    return frame
        finally:
            self._answers.pop(answer.order.id, None)
            answer.leave()

    async def settled(self) -> Settled:
        """Returns the adopted lines that are over."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at > LOOK_S:
            self._looked_at = now
            await self._find_lost()
        return await self._over(set(self.adopted))

    async def _find_lost(self) -> None:
        over = await self._over(set(self._answers))
        for completion in self._suspect & over.keys() & self._answers.keys():
            answer, _line = self._answers[completion]
            status, _code = over[completion]  # an empty frame: the outcome is in the record
            answer.buffer.put(Frame(completion.bytes, LAST, 0, Kind.BODY, b"", status))
        self._suspect = set(over)

    async def _over(self, ids: set[UUID]) -> Settled:
        return await in_thread(lines.settled, ids) if ids else {}

    def leave(self) -> None:
        """Stop waiting. Recorded requests go on, and are found in the record."""
        self.adopted |= {pk: line for pk, (_answer, line) in self._answers.items()}
        for task in self.tasks.values():
            task.cancel()

    async def end(self, stopped: Callable[[], bool]) -> bool:
        """Cancel waiting lines and await the running ones. Returns whether all are over."""
        pause_s = AGAIN_S
        while not stopped():
            ids = {*self.adopted, *self._answers}
            unfinished = ids - (await self._over(ids)).keys()
            if not unfinished and len(self.tasks) <= len(self._answers):
                return True
            for completion in unfinished:
                if order := await self._order(completion):
                    await self._context.cancellation.take_out(order)
            await asyncio.sleep(pause_s)
            pause_s = min(MOST_S, pause_s * 1.2)
        return False

    async def _order(self, completion: UUID) -> Order | None:
        if pair := self._answers.get(completion):
            return pair[0].order
        record = await in_thread(recorded_order, completion)
        return record[1] if record else None


class Shares:
    """The batches of one driver."""

    def __init__(self) -> None:
        self._batches: Counter[UUID] = Counter()  # batches under way, by tenant

    def join(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] += 1

    def leave(self, tenant_id: UUID) -> None:
        self._batches[tenant_id] -= 1

    def of_a_batch(self, tenant_id: UUID) -> int:
        share = settings.BATCH_TENANT_IN_FLIGHT // max(1, self._batches[tenant_id])
        return max(1, min(settings.BATCH_IN_FLIGHT, share))
