"""Takes one batch through its states, in the process that holds its lease.

PostgreSQL has all state that must not be lost. A line is claimed in the commit that receives its
request (record/commits.py), so no line runs twice and none is forgotten, whichever process goes on
with the batch and whenever the last one died.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.utils import timezone

from audit.keys.keyring import Barred, Unreadable
from inference.api.batch.in_flight import Shares
from inference.api.batch.lines import in_long_thread, in_thread
from inference.api.batch.work import BatchWork
from inference.batch import results, validation
from inference.batch.input_lines import InputProblem
from inference.batch.windows import wake_resting
from inference.intake.context import Context
from inference.models import Batch, BatchState, File, FileChunk

log = logging.getLogger(__name__)
BEAT_S = 1.0  # between checks for changes by others
RESTRICTED = timedelta(minutes=15)  # between looks whether a restriction has been lifted
LEASE = timedelta(seconds=8)  # after the death of a driver, another one has the batch by then


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
        self._work: BatchWork | None = None
        self.began, self.is_stopped, self._is_released = time.monotonic(), False, False
        self._turn = asyncio.Lock()  # for threads that use self.batch

    def stop(self) -> None:
        """End the run. Another driver goes on, or this one in its turn."""
        self.is_stopped = True
        if self._work:
            self._work.stop()

    async def go(self) -> None:
        """Work until the batch ends or rests, then release it."""
        beat = asyncio.create_task(self._keep())
        try:
            while await self._renewed() and not self.batch.is_over:
                rests_until = self._now() if self.is_stopped else await self._stage()
                if rests_until:
                    return await self._release(rests_until)
        except Barred as error:
            await self._rest_or_end(error)
        except (Unreadable, File.DoesNotExist, FileChunk.DoesNotExist) as error:
            await self._give_up(error)
        except Batch.DoesNotExist:
            log.info("batch %s has been erased", self.batch.public_id)
        finally:
            beat.cancel()
            if self._work:
                self._work.leave()
        return None

    async def _rest_or_end(self, barred: Barred) -> None:
        """Rest while the data of the batch's person is restricted, and end it if it is erased."""
        if await in_thread(results.is_erased, self.batch):
            await self._give_up(barred)
        else:
            await self._release(self._now() + RESTRICTED)

    async def _give_up(self, error: Exception) -> None:
        log.warning("batch %s cannot be read: %s", self.batch.public_id, error)
        with contextlib.suppress(Batch.DoesNotExist):  # erased
            await in_thread(results.give_up, self.batch.pk)

    async def _stage(self) -> datetime | None:
        """Do the work of its state. Returns until when it rests, if it does."""
        match self.batch.state:
            case BatchState.VALIDATING if self._now() >= self.batch.expires_at:
                async with self._turn:
                    await in_thread(self.batch.finalize, BatchState.EXPIRED)
            case BatchState.VALIDATING:
                await in_long_thread(validation.validate, self.batch.pk, self._lease)
            case BatchState.IN_PROGRESS:
                return await self._run_lines()
            case BatchState.CANCELLING if self.batch.total:
                if not await (await self._resumed_work()).wind_up():
                    return self._now()
                return await self._write_results()
            case _:
                return await self._write_results()
        return None

    async def _write_results(self) -> datetime | None:
        """Write the files. Returns until when the batch rests, if it may not have them yet."""
        has_ended = await in_long_thread(results.write, self.batch.pk)
        return None if has_ended else self._now() + RESTRICTED

    async def _run_lines(self) -> datetime | None:
        work = await self._resumed_work()
        rests_until = await work.go()
        if rests_until or not work.ends_as:
            return rests_until
        if not await work.wind_up():
            return self._now()
        problems = [InputProblem(*work.lost)._asdict()] if work.lost else []
        async with self._turn:
            await in_thread(self.batch.finalize, work.ends_as, problems)
        return None

    async def _resumed_work(self) -> BatchWork:
        self._work = self._work or await BatchWork.resume(
            self._context, self.batch, self._now, self._shares
        )
        if self.is_stopped:
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
        """Renew the lease. Returns False if it is released, or another's by now."""
        async with self._turn:
            renewed = not self._is_released and await in_thread(
                self.batch.renew, self._lease, LEASE
            )
        if self._work and not renewed:
            self._work.stop()
        return renewed

    async def _release(self, due_at: datetime) -> None:
        """Release the lease, and wake the batch if it may go on earlier: `wake_resting` did not."""
        async with self._turn:
            self._is_released = True  # a beat that waits for its turn would renew the lease
            await in_thread(self.batch.release, self._lease, due_at)
            if self._work and self._work.may_go_on_before(due_at):
                await in_thread(wake_resting, self.batch.pk)
