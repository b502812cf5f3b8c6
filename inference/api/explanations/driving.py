"""Makes explanations that wait: those of reviews, and those that a page asked for.

It has no state: a row whose maker has died is due again when its lease is over.
"""

import asyncio
from dataclasses import replace

from channels.db import database_sync_to_async
from django.utils import timezone

from inference.api.explanations.making import make
from inference.intake.context import Context
from inference.models import DecisionExplanation
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller

AT_ONCE = 20
CLASS = "batch"  # decisions themselves go first
LATER_S, BUSY_S = 5.0, 60.0
PATIENCE_S = 90.0  # with engines that are busy; shorter than a lease


def make_all() -> None:
    """Make what is due. Two of these at once do no harm."""
    due = DecisionExplanation.objects.due(timezone.now()).order_by("due_at")
    rows = due.select_related("decision__version__policy", "decision__api_key")[:AT_ONCE]
    if leased := [row for row in rows if row.lease()]:
        asyncio.run(_make(leased))


async def _make(rows: list[DecisionExplanation]) -> None:
    context = await Context.open()
    try:
        await asyncio.gather(*(_make_in_time(context, row) for row in rows))
    finally:
        await context.close()


async def _make_in_time(context: Context, row: DecisionExplanation) -> None:
    """Make an explanation; if its engine is too busy, cancel that and look again later."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _make_one(context, row)
    except TimeoutError:
        await database_sync_to_async(row.wait)(BUSY_S)


async def _make_one(context: Context, row: DecisionExplanation) -> None:
    try:
        caller = await _caller(context, row)
    except TenantClosed:
        await database_sync_to_async(row.fail)("tenant_closed")
    except UnknownCaller:
        await database_sync_to_async(row.fail)("key_gone")
    except AuthenticationUnavailable:
        await database_sync_to_async(row.wait)(LATER_S)
    else:
        await make(context, caller, row, klass=CLASS)


async def _caller(context: Context, row: DecisionExplanation) -> Caller:
    """Returns the caller of the decision, as its key is now. Raises UnknownCaller."""
    key = row.decision.api_key
    if key is None:
        raise UnknownCaller
    caller = await context.authenticator.by_digest(bytes(key.digest))
    return replace(caller, networks=())  # its address was checked when it decided
