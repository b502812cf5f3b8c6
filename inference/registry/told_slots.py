"""Slots that follow what their engine says (`slots = "auto"`).

What it says is written down, and so comes to every process as any other change does: its workers
are then as many as before or not, and what its runner has begun is finished first.
"""

import logging
from collections.abc import Iterable

from channels.db import database_sync_to_async
from django.db import DatabaseError

from inference.engines.base import Engine
from inference.models import Engine as EngineRow
from tenants.scope import system_scope

log = logging.getLogger(__name__)
BY = "system:engine"


async def follow(engines: Iterable[Engine]) -> None:
    """Those of these engines that say something else than what is in force."""
    if told := different(engines):
        try:
            await database_sync_to_async(write)(told)
        except DatabaseError as problem:  # they are asked again
            log.warning("cannot note how many slots engines have: %s", problem)
        except Exception:
            log.exception("cannot note how many slots engines have")


def different(engines: Iterable[Engine]) -> dict[str, int]:
    """By the engine's name."""
    return {e.config.id: e.reported_slots for e in engines if _says_something_else(e)}


def _says_something_else(engine: Engine) -> bool:
    config = engine.config
    return config.auto_slots and engine.reported_slots not in (0, config.slots)


def write(told: dict[str, int]) -> None:
    with system_scope():
        rows = EngineRow.objects.filter(name__in=told, auto_slots=True)
        for row in rows.select_related("pool").order_by("name"):
            row.follow(told[row.name], by=BY)
