"""Makes explanations that wait: those of reviews, and those that a page asked for.

It has no state: a row whose maker has died is due again when its lease is over.
"""

import asyncio

from channels.db import database_sync_to_async
from django.utils import timezone

from inference.api.deferred import Refused, Wait, caller_of
from inference.api.explanations.making import make
from inference.intake.context import Context
from inference.models import DecisionExplanation

AT_ONCE = 20
CLASS = "batch"  # decisions themselves go first
BUSY_S = 60.0
PATIENCE_S = 90.0  # with engines that are busy; shorter than a lease


def make_all() -> None:
    """Make what is due. Two of these at once do no harm."""
    due = DecisionExplanation.objects.due(timezone.now()).order_by("due_at")
    rows = due.select_related("decision__version__policy", "decision__api_key")[:AT_ONCE]
    if leased := [row for row in rows if row.lease()]:
        asyncio.run(_make(leased))


async def _make(rows: list[DecisionExplanation]) -> None:
    async with Context.opened() as context:
        await asyncio.gather(*(_make_in_time(context, row) for row in rows))


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
