"""Makes explanations that wait: those of reviews, and those that a page asked for.

It has no state: a row whose maker has died is due again when its lease is over. Explanations are
made a few at a time, over one context that stays open a while: twenty at once, or a context for
each round, would take the processors away from decisions in bursts.
"""

import asyncio
import logging
import threading
from collections import deque

from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.utils import timezone

from inference.api.deferred import Refused, Wait, caller_of
from inference.api.explanations.making import make
from inference.intake.context import Context
from inference.models import DecisionExplanation

log = logging.getLogger(__name__)
READ_AHEAD = 20
LANES = 4  # explanations made at the same time
LINGER_S = 30.0  # with an open context, after the last explanation
POLL_S = 1.0
CLASS = "batch"  # decisions themselves go first
BUSY_S = 60.0
PATIENCE_S = 90.0  # with engines that are busy; shorter than a lease
_ending = threading.Event()


def make_all(linger_s: float = LINGER_S) -> None:
    """Make what is due, and what becomes due soon after. Two of these at once do no harm."""
    if rows := _due():
        asyncio.run(_make_all(rows, linger_s))


def stop() -> None:
    """Let nobody begin another one: this process ends."""
    _ending.set()


def _due() -> list[DecisionExplanation]:
    due = DecisionExplanation.objects.due(timezone.now()).order_by("due_at")
    return list(due.select_related("decision__version__policy", "decision__api_key")[:READ_AHEAD])


async def _make_all(rows: list[DecisionExplanation], linger_s: float) -> None:
    async with Context.opened() as context, asyncio.TaskGroup() as lanes:
        maker = Maker(context, rows, linger_s)
        for _ in range(LANES):
            lanes.create_task(maker.run_lane())


class Maker:
    """Lanes that share the rows that they have read, and what they know of busy models."""

    def __init__(self, context: Context, rows: list[DecisionExplanation], linger_s: float) -> None:
        self._context, self._rows, self._linger_s = context, deque(rows), linger_s
        self._time = asyncio.get_running_loop().time
        self._until, self._making = self._time() + linger_s, 0
        self._reading = asyncio.Lock()
        self._busy_until: dict[str, float] = {}  # by model

    async def run_lane(self) -> None:
        while row := await self._next():
            self._making += 1
            try:
                await self._make_in_time(row)
            finally:
                self._making -= 1
                self._until = self._time() + self._linger_s

    async def _next(self) -> DecisionExplanation | None:
        """Returns a leased row; None when nothing has come for a while, or the process ends."""
        while not _ending.is_set():
            if self._rows:
                row = self._rows.popleft()
                if await database_sync_to_async(row.lease)():
                    return row
            elif self._time() >= self._until and not self._making:
                return None
            else:
                await self._read()
        return None

    async def _read(self) -> None:
        async with self._reading:
            if not self._rows:
                await asyncio.sleep(POLL_S)
                self._rows.extend(await database_sync_to_async(_due)())

    async def _make_in_time(self, row: DecisionExplanation) -> None:
        """Make an explanation, or look again later: if its engine is too busy, or it fails."""
        model = row.decision.version.model
        if self._busy_until.get(model, 0.0) > self._time():  # others must not wait behind it
            await database_sync_to_async(row.wait)(BUSY_S)
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await _make_one(self._context, row)
        except TimeoutError:
            self._busy_until[model] = self._time() + BUSY_S
            await database_sync_to_async(row.wait)(BUSY_S)
        except DatabaseError:
            raise
        except Exception:  # one that cannot be made must not end the others
            log.exception("cannot explain decision %s", row.pk)
            await database_sync_to_async(row.wait)(BUSY_S)


async def _make_one(context: Context, row: DecisionExplanation) -> None:
    try:
        caller = await caller_of(context, row.decision.api_key)
    except Refused as refused:
        code = "key_gone" if refused.code == "access_revoked" else refused.code
        await database_sync_to_async(row.fail)(code)
    except Wait as wait:
        await database_sync_to_async(row.wait)(wait.seconds)
    else:
        await make(context, caller, row, klass=CLASS)
