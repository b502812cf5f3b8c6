"""One batch on its way through its states, by whoever holds its lease.

PostgreSQL has all that must not be lost. A line is claimed in the commit that receives its request
(record/claiming.py), so whichever process goes on with the batch, and whenever the last one died,
no line runs a second time that has run, and none is forgotten.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.utils import timezone

from audit.keys.keyring import Unreadable
from inference.api.batch.shares import Shares
from inference.api.batch.threads import in_long_thread, in_thread
from inference.api.batch.work import Work
from inference.batch import results, validation
from inference.batch.input_lines import Problem
from inference.batch.waking import wake_resting
from inference.intake.context import Context
from inference.models import Batch, BatchState, File, FileChunk

log = logging.getLogger(__name__)
BEAT_S = 1.0  # between looks at what others have changed
LEASE = timedelta(seconds=8)  # after a death, another driver has the batch so soon


class BatchRun:
    def __init__(
        self,
        context: Context,
        batch: Batch,
        now: Callable[[], datetime] = timezone.now,
        shares: Shares | None = None,
    ) -> None:
        assert batch.lease
        self._shares = shares or Shares()
        self._context, self.batch, self._now = context, batch, now
        self._lease = batch.lease
        self._work: Work | None = None
        self.began, self._stopped, self._is_let_go = time.monotonic(), False, False
        self._turn = asyncio.Lock()  # of who uses self.batch in a thread

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """It ends here; another driver goes on, or this one in its turn."""
        self._stopped = True
        if self._work:
            self._work.stop()

    async def go(self) -> None:
        """To the batch's end, or until there is nothing to do for a while."""
        beat = asyncio.create_task(self._keep())
        try:
            while await self._renewed() and not self.batch.is_over:
                rests_until = self._now() if self._stopped else await self._stage()
                if rests_until:
                    return await self._let_go(rests_until)
        except (Unreadable, File.DoesNotExist, FileChunk.DoesNotExist) as gone:
            log.warning("batch %s cannot be read: %s", self.batch.public_id, gone)
            with contextlib.suppress(Batch.DoesNotExist):  # erased
                await in_thread(results.give_up, self.batch.pk)
        except Batch.DoesNotExist:
            log.info("batch %s has been erased", self.batch.public_id)
        finally:
            beat.cancel()
            if self._work:
                self._work.leave()
        return None

    async def _stage(self) -> datetime | None:
        """What its state asks for. Answers until when nothing is to be done."""
        match self.batch.state:
            case BatchState.VALIDATING if self._now() >= self.batch.expires_at:
                async with self._turn:
                    await in_thread(self.batch.finalize, BatchState.EXPIRED)
            case BatchState.VALIDATING:
                await in_long_thread(validation.validate, self.batch.pk, self._lease)
            case BatchState.IN_PROGRESS:
                return await self._run_lines()
            case BatchState.CANCELLING if self.batch.total:
                if not await (await self._taken_up()).wind_up():
                    return self._now()
                await in_long_thread(results.write, self.batch.pk)
            case _:
                await in_long_thread(results.write, self.batch.pk)
        return None

    async def _run_lines(self) -> datetime | None:
        work = await self._taken_up()
        rests_until = await work.go()
        if rests_until or not work.ends_as:
            return rests_until
        if not await work.wind_up():
            return self._now()
        problems = [Problem(*work.lost)._asdict()] if work.lost else []
        async with self._turn:
            await in_thread(self.batch.finalize, work.ends_as, problems)
        return None

    async def _taken_up(self) -> Work:
        self._work = self._work or await Work.take_up(
            self._context, self.batch, self._now, self._shares
        )
        if self._stopped:
            self._work.stop()
        return self._work

    # The lease ------------------------------------------------------------------------------------
    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            with contextlib.suppress(DatabaseError):
                await self._renewed()
            if self._work:
                self._work.look_again()

    async def _renewed(self) -> bool:
        """False: it is gone, or another's by now."""
        async with self._turn:
            held = not self._is_let_go and await in_thread(self.batch.renew, self._lease, LEASE)
        if self._work and not held:
            self._work.stop()
        return held

    async def _let_go(self, due_at: datetime) -> None:
        """What was changed since its work looked is seen once more: `wake_resting` passed it by, as
        long as we had it.
        """
        async with self._turn:
            self._is_let_go = True  # a beat that waits for its turn would take it again
            await in_thread(self.batch.let_go, self._lease, due_at)
            if self._work and self._work.may_go_on_before(due_at):
                await in_thread(wake_resting, self.batch.pk)
