"""A request's way through one web process, with a clock at each step."""

import asyncio
from contextvars import ContextVar
from time import perf_counter
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from audit.trail.group_commit import GroupCommit
from bench.parts.catalogue import MODEL
from inference.intake import rate_limits
from inference.intake.access import allowed
from inference.intake.answer_stream import forget_reader
from inference.intake.cancellation import Cancellation
from inference.intake.context import Context
from inference.intake.submission import Arrival, read
from inference.intake.submit import submit
from inference.order import Order
from inference.queue.fair_queue import FairQueue
from inference.record import sql_statements
from inference.record.outcome import Outcome
from inference.validation.requests import Form
from tenants.caller import Caller
from tenants.rate_limits.admission import Admission, Ask

STEPS = ("authentication", "limits", "record", "whole")
ROUTE = "/v1/chat/completions"
HELD_S = 0.1  # as if it ran so long
BEAT_S = 0.5
QUESTION = {"role": "user", "content": "What is a forebay? Answer in two or three sentences. " * 4}
OUTCOME = Outcome(prompt_tokens=60, completion_tokens=40, response=b"x" * 200, text="x" * 150)
_BARE = """
    create function bench_no_reserve(rows jsonb)
    returns table (request uuid, taken jsonb, refused jsonb) language plpgsql rows 10 as
    $$ begin return; end $$;
    create function bench_no_settle(rows jsonb)
    returns table (request uuid) language plpgsql rows 10 as
    $$ begin return query select id from jsonb_to_recordset(rows) r(id uuid); end $$"""

Times = dict[str, float]  # seconds by step
_times: ContextVar[Times] = ContextVar("times")


def make_bare_functions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_BARE)


class Path:
    """The path of a request as the views take it."""

    def __init__(self) -> None:
        self.context = Context()
        self._queue = FairQueue(self.context.redis, MODEL)
        _clock("authentication", self.context.authenticator, "by_key")
        _clock("limits", self.context.limits.rate, "admit")

    async def open(self) -> None:
        await self.context.limits.rate.open()
        _clock("record", self.context.commits.received, "write")

    async def close(self) -> None:
        await self.context.close()

    async def take(self, key: str, address: str, due: float) -> tuple[Order, Times]:
        """Take a request until it is queued. Raises the errors that the views answer."""
        times = dict.fromkeys(STEPS, 0.0)
        _times.set(times)
        began = min(due, perf_counter())  # timers may wake a little early
        caller, counted_at = await self.caller(key, address)
        order = await self._submit(caller, address, counted_at)
        times["whole"] = perf_counter() - began
        return order, times

    async def caller(self, key: str, address: str) -> tuple[Caller, int]:
        """Returns the caller, and when the address was charged (rate_limits.py)."""
        counted_at = await rate_limits.count_unknown_key(self.context, key, address, ROUTE)
        caller = await self.context.authenticator.by_key(key)
        allowed.check_address(caller, address)
        return caller, counted_at

    async def _submit(self, caller: Caller, address: str, counted_at: int) -> Order:
        body: dict[str, Any] = {"model": MODEL, "messages": [QUESTION], "max_tokens": 256}
        arrival = Arrival(ROUTE, address, counted_at)
        submission = read(caller, body, len(orjson.dumps(body)), Form.CHAT, arrival)
        return (await submit(self.context, submission)).order

    async def run(self, order: Order) -> None:
        """Stand in for runner and engine: take it out of the queue, hold it, settle it."""
        await self._queue.pop(1, "bench")
        await asyncio.sleep(HELD_S)
        forget_reader(self.context, order)
        await self.context.cancellation.settle_unstarted(order, OUTCOME)

    async def beat(self) -> None:
        """Pretend for ever that a runner lives, so that no request has to wake one."""
        while True:
            await self._queue.beat("bench", False, [])
            await asyncio.sleep(BEAT_S)


class BarePath(Path):
    """The same without authenticator, limits and reserve."""

    def __init__(self, known: dict[str, Caller]) -> None:
        super().__init__()
        self._known = known
        self.context.limits.rate.admit = _admitted  # type: ignore[method-assign]

    async def open(self) -> None:
        context, dsn = self.context, settings.DATABASE_URL
        await asyncio.gather(context.commits.received.close(), context.commits.settled.close())
        received = sql_statements.RECEIVED.replace("tenants_reserve", "bench_no_reserve")
        settled = sql_statements.SETTLED.replace("tenants_settle", "bench_no_settle")
        context.commits.received = GroupCommit(dsn, received, patience_s=settings.FAILOVER_WAIT_S)
        context.commits.settled = GroupCommit(dsn, settled, patience_s=30)
        context.cancellation = Cancellation(
            context.redis, context.queues, context.commits.settled, context.background
        )
        await super().open()

    async def caller(self, key: str, address: str) -> tuple[Caller, int]:
        return self._known[key], 0


async def _admitted(ask: Ask) -> tuple[Admission, int]:
    return Admission(""), 0


def _clock(step: str, owner: object, method: str) -> None:
    """Add the time of each call to the times of the request that makes it."""
    real = getattr(owner, method)

    async def timed(*arguments: Any) -> Any:
        began = perf_counter()
        try:
            return await real(*arguments)
        finally:
            if times := _times.get(None):
                times[step] += perf_counter() - began

    setattr(owner, method, timed)
