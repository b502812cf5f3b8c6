"""Feeds the lines of a batch into the fair queue, a bounded number at a time."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import OperationalError

from inference.api.batch import lines, submitting
from inference.api.batch.in_flight import InFlight, Shares
from inference.api.batch.lines import in_thread
from inference.api.batch.progress import LineProgress
from inference.api.batch.source import Holds, Source
from inference.batch import windows
from inference.batch.encryption import cipher_of
from inference.batch.input_lines import key_of
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.errors import KeyTaken
from inference.intake.idempotency_claim import Claim
from inference.log_context import working_for
from inference.models import Batch, BatchLine, BatchState
from inference.stream.frames import Kind
from inference.tracing import span_values
from inference.tracing.spans import front_step

log = logging.getLogger(__name__)
LONG_S = 20.0  # the batch rests during a longer pause
AWAY_S = 1.0  # until a line is tried again for which PostgreSQL was away
OK, CANCELLED = 200, 499


class BatchWork:
    """The lines of one batch under way.

    `ends_as` is its final state, once that is known. `lost` is the reason why its access was
    revoked, as code and message.
    """

    _zone: ZoneInfo
    _asking: submitting.Asking
    _progress: LineProgress
    _source: Source

    def __init__(
        self, context: Context, batch: Batch, now: Callable[[], datetime], shares: Shares
    ) -> None:
        self._context, self._batch, self._now, self._shares = context, batch, now, shares
        self._flight = InFlight(context)
        self._news = asyncio.Event()
        self._holds = Holds()
        self._stopped = self._closing = False
        self.ends_as: BatchState | None = None
        self.lost: tuple[str, str] | None = None

    @classmethod
    async def resume(
        cls, context: Context, batch: Batch, now: Callable[[], datetime], shares: Shares
    ) -> "BatchWork":
        """Go on where the last process stopped. Raises File.DoesNotExist, Unreadable."""
        work = cls(context, batch, now, shares)
        submitted = await in_thread(lines.begun, batch)
        digest, work._zone = await in_thread(lines.about, batch)
        work._asking = submitting.Asking(context, batch, digest)
        models = await in_thread(lines.models_of, batch)
        reader = await in_thread(lines.reader, batch)
        work._source = Source(batch, models, set(submitted), reader)
        work._progress = LineProgress(batch, await in_thread(cipher_of, batch))
        rows = await in_thread(lines.rows_of, batch, submitted)
        work._flight.adopted = {submitted[row.number]: row for row in rows}
        shares.join(batch.tenant_id)
        return work

    def stop(self) -> None:
        self._stopped = True
        self._news.set()

    def look_again(self) -> None:
        """Check the batch's row again: somebody may have changed it."""
        self._news.set()

    def leave(self) -> None:
        self._flight.leave()
        self._shares.leave(self._batch.tenant_id)

    async def go(self) -> datetime | None:
        """Run lines until the batch's end is decided or its state is another.

        Returns a moment if the batch rests until then.
        """
        while self._batch.state == BatchState.IN_PROGRESS:
            self._news.clear()
            await self._collect()
            await self._progress.write_if_due()
            await self._source.fill()
            if ends_as := self._end():
                self.ends_as = ends_as
                return None
            await self._begin_lines()
            if rests_until := self._rests_until():
                await self._progress.write()  # of lines that ended since
                return rests_until
            await self._wait()
        return None

    async def wind_up(self) -> bool:
        """Begin nothing more and let running lines finish.

        Returns False if this process stops before they have ended, and another goes on.
        """
        self._closing = True
        over = await self._flight.end(lambda: self._stopped)
        self._flight.leave()
        await self._collect()
        await self._progress.write()
        return over

    async def _collect(self) -> None:
        for completion, (status, code) in (await self._flight.settled()).items():
            line = self._flight.adopted.pop(completion)
            error = b"" if status == OK else submitting.ended_elsewhere(status, code)
            self._over(line, completion, status, error)

    def _end(self) -> BatchState | None:
        if self.lost:
            return BatchState.FAILED
        if self._source.is_empty and not self._flight:  # also where no driver was there in time
            return BatchState.COMPLETED
        return BatchState.EXPIRED if self._now() >= self._batch.expires_at else None

    # How many at once -----------------------------------------------------------------------------
    async def _begin_lines(self) -> None:
        """Begin a line of each model in turn."""
        began = True
        while began:
            began = False
            for model in self._source.models:
                if self._may_begin(model) and (line := await self._source.next(model)):
                    self._flight.begin(line, self._ask(line))
                    began = True

    def _may_begin(self, model: str) -> bool:
        most = self._shares.of_a_batch(self._batch.tenant_id)
        if self._is_closed or self._holds.remaining_s(model) or len(self._flight) >= most:
            return False
        return self._flight.count(model) < self._window_has(model)

    @property
    def _is_closed(self) -> bool:
        ends = self._stopped or self._closing
        return ends or bool(self._batch.paused_at) or self._context.limits.rate.alone

    def _window_has(self, model: str) -> int:
        return windows.lines_at_once(model, self._now(), self._zone, int(settings.BATCH_IN_FLIGHT))

    def _rests_until(self) -> datetime | None:
        """Returns until when the batch rests; None if it is worth waiting here."""
        now, expires_at = self._now(), self._batch.expires_at
        if self._stopped:
            return now
        if self._flight:
            return None
        if self._batch.paused_at:
            return expires_at
        free_at = min(map(self._free_at, self._source.models), default=now)
        return min(expires_at, free_at) if free_at - now > timedelta(seconds=LONG_S) else None

    def may_go_on_before(self, moment: datetime) -> bool:
        """Returns whether lines of it may begin earlier than `moment`, as known now."""
        if self._batch.paused_at:
            return False
        earlier = self._rests_until()
        return earlier is None or earlier < moment - timedelta(seconds=1)

    def _free_at(self, model: str) -> datetime:
        now = self._now()
        hold_ends = now + timedelta(seconds=self._holds.remaining_s(model))
        if self._window_has(model):
            return hold_ends
        return max(hold_ends, windows.opens_next(model, now, self._zone))

    async def _wait(self) -> None:
        """Wait for a line's end, for a change by others, or for the end of a pause."""
        pauses_s = [s for model in self._source.models if (s := self._holds.remaining_s(model))]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pauses_s, default=None)):
                await self._news.wait()

    # One line -------------------------------------------------------------------------------------
    async def _ask(self, line: BatchLine) -> None:
        try:
            await self._run(line)
        except submitting.Hold as hold:
            self._holds.hold(hold.seconds, line.model if hold.of_model else None)
            self._source.put_back(line)
        except submitting.AccessLost as lost:
            self.lost = lost.code, lost.message
            self._source.put_back(line)
        except submitting.LineRefused as refused:
            self._progress.end(line, None, refused.status, refused.body)
        except OperationalError as problem:  # PostgreSQL is away, or its primary changes
            log.warning("line %d of %s waits: %s", line.number, self._batch.public_id, problem)
            self._source.put_back(line, AWAY_S)
        except Exception:
            log.exception("line %d of batch %s", line.number, self._batch.public_id)
            self._progress.end(line, None, 500, submitting.internal_error())
        finally:
            self._flight.forget(line)
            self._news.set()

    async def _run(self, line: BatchLine) -> None:
        try:
            answer = await self._submitted(line)
        except KeyTaken:  # a driver that seemed dead has submitted it
            return await self._adopt(line)
        with working_for(str(answer.order.id), answer.order.tenant_id):
            frame = await self._flight.final(answer, line)
        if not frame.body:  # it was cancelled, or only the record knows
            self._flight.adopted[answer.order.id] = line
            return None
        error = frame.body if frame.kind == Kind.ERROR else b""
        return self._over(line, answer.order.id, frame.status, error)

    async def _submitted(self, line: BatchLine) -> AnswerStream:
        instead_of = self._progress.instead_of.get(line.number)
        # By its claim a line runs once: one of two submissions wins (record/commits.py).
        claim = Claim(key_of(line.number), b"", owner=self._batch.pk, instead_of=instead_of)
        async with self._asking.door:
            if (pause_s := self._holds.remaining_s(line.model)) or self._is_closed:
                raise submitting.Hold(pause_s, of_model=True)
            text = await self._source.text(line)
            among = windows.open_pools(line.model, self._now(), self._zone)
            repeats = self._progress.may_be_repeated(line)
            work = self._asking.submit(text, claim, among, may_be_repeated=repeats)
            answer = await self._traced(line, work)
        self._holds.hold(submitting.room_s(answer))
        return answer

    async def _traced(self, line: BatchLine, work: Awaitable[AnswerStream]) -> AnswerStream:
        with front_step("batch line") as span:
            answer = await work
            if span.is_on:
                span.tell(span_values.of_line(self._batch.public_id, line.number, answer.order))
            return answer

    async def _adopt(self, line: BatchLine) -> None:
        """Adopt a recorded request, or retry one that a quota had no room for."""
        completion, is_on_record = await in_thread(lines.claimed_as, self._batch, line.number)
        if completion and is_on_record:
            self._flight.adopted[completion] = line
            return
        if completion:
            self._progress.instead_of[line.number] = completion
        self._source.put_back(line)

    def _over(self, line: BatchLine, completion: UUID, status: int, error: bytes) -> None:
        if self._closing and status == CANCELLED:
            return  # it was waiting when its batch ended: it counts as not run
        again_s = self._progress.try_again_after_s(line, completion, status, error)
        if again_s is None or self._closing:
            self._progress.end(line, completion, status, error)
        else:
            self._source.put_back(line, again_s)
