"""Servers of others leave their GPU by sleeping: a vLLM with sleep mode (the option `sleeps`).

One that is lent falls asleep before a job may begin, and one that comes back is woken before it
takes requests. Each look begins anew with what the rows say, so a lost call is made again.
"""

import asyncio
import logging
from collections.abc import Iterable

import aiohttp
from django.db.models import Q

from inference.engines import built
from inference.engines.base import Engine as EngineOfKind
from inference.engines.kinds import vllm_sleep
from inference.engines.transport.failure_reason import why_away
from inference.engines.transport.session import EngineSession
from inference.lending import loans
from inference.models import Engine
from inference.registry.following import entry_of
from tenants.scope import system_scope

log = logging.getLogger(__name__)


def move_sleepers() -> None:
    """Have engines that are lent sleep, and wake those that come back."""
    lent = Q(lent_since__isnull=False, gpu_free=False, returning_since=None)
    back = Q(lent_since=None, returning_since__isnull=False, starting_since__isnull=False)
    with system_scope():
        rows = list(Engine.objects.filter(lent | back, options__sleeps=True).select_related("pool"))
        entries = [(row, built(entry_of(row))) for row in rows]
    if not entries:
        return
    moved = asyncio.run(_moved(entries))
    with system_scope():
        for row, problem in zip(rows, moved, strict=True):
            _note(row, problem)


async def _moved(entries: Iterable[tuple[Engine, EngineOfKind]]) -> list[str]:
    """Returns what went wrong for each, "" where nothing did."""
    async with EngineSession() as session:
        return await asyncio.gather(*(_move(row, own, session) for row, own in entries))


async def _move(row: Engine, engine: EngineOfKind, session: EngineSession) -> str:
    act = vllm_sleep.fall_asleep if row.lent_since else vllm_sleep.wake_up
    try:
        await act(engine, session)
    except (aiohttp.ClientError, OSError) as problem:
        return why_away(problem)
    except (TimeoutError, ValueError) as problem:
        return str(problem) or "it did not answer in time"
    return ""


def _note(row: Engine, problem: str) -> None:
    """Record that it sleeps or is awake. One that cannot sleep comes back for a while."""
    if problem:
        log.warning("%s: cannot be put to sleep or woken: %s", row.name, problem)
        if row.lent_since:
            loans.note_unfit(row.name)
            row.take_back(by=loans.BY)
    elif row.lent_since:
        row.free_gpu()
    else:
        row.note_awake()
