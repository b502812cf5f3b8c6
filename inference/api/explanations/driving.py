"""Makes explanations that wait: those of reviews, and those that a page asked for.

It has no state: a row whose maker has died is due again when its lease is over. Explanations are
made a few at a time, over one context that stays open a while: twenty at once, or a context for
each round, would take the processors away from decisions in bursts.
"""

import asyncio
from collections.abc import Iterator

from channels.db import database_sync_to_async
from django.utils import timezone

from inference.api.deferred import Refused, Wait, caller_of
from inference.api.explanations.making import make
from inference.intake.context import Context
from inference.models import DecisionExplanation

READ_AHEAD = 20
LANES = 2  # explanations made at the same time
LINGER_S = 30.0  # with an open context, after the last explanation
POLL_S = 1.0
CLASS = "batch"  # decisions themselves go first
BUSY_S = 60.0
PATIENCE_S = 90.0  # with engines that are busy; shorter than a lease


def make_all(linger_s: float = LINGER_S) -> None:
    """Make what is due, and what becomes due soon after. Two of these at once do no harm."""
    if rows := _due():
        asyncio.run(_make_all(rows, linger_s))


def _due() -> list[DecisionExplanation]:
    due = DecisionExplanation.objects.due(timezone.now()).order_by("due_at")
    return list(due.select_related("decision__version__policy", "decision__api_key")[:READ_AHEAD])


async def _make_all(rows: list[DecisionExplanation], linger_s: float) -> None:
    read, time = database_sync_to_async(_due), asyncio.get_running_loop().time
    async with Context.opened() as context:
        until = time() + linger_s
        while True:
            if rows:
                await _make(context, rows)
                until = time() + linger_s
            if time() >= until:
                return
            await asyncio.sleep(POLL_S)
            rows = await read()


async def _make(context: Context, rows: list[DecisionExplanation]) -> None:
    waiting = iter(rows)
    await asyncio.gather(*(_run_lane(context, waiting) for _ in range(LANES)))


async def _run_lane(context: Context, waiting: Iterator[DecisionExplanation]) -> None:
    for row in waiting:
        if await database_sync_to_async(row.lease)():
            await _make_in_time(context, row)


async def _make_in_time(context: Context, row: DecisionExplanation) -> None:
    """Make an explanation; if its engine is too busy, cancel that and look again later."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _make_one(context, row)
    except TimeoutError:
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
