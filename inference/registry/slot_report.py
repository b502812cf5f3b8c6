"""Slots that follow the number that their engine reports (`slots = "auto"`).

The number is stored, so every process gets it like any other change: its workers may become more or
fewer, and a runner finishes its requests first.
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
    """Store the numbers of engines that differ from those in force."""
    if numbers := different(engines):
        try:
            await database_sync_to_async(write)(numbers)
        except DatabaseError as problem:  # it is tried again
            log.warning("cannot note how many slots engines have: %s", problem)
        except Exception:
            log.exception("cannot note how many slots engines have")


def different(engines: Iterable[Engine]) -> dict[str, int]:
    return {
        engine.config.id: engine.reported_slots
        for engine in engines
        if engine.config.auto_slots and engine.reported_slots not in (0, engine.config.slots)
    }


def write(numbers: dict[str, int]) -> None:
    with system_scope():
        rows = EngineRow.objects.filter(name__in=numbers, auto_slots=True)
        for row in rows.select_related("pool").order_by("name"):
            row.follow(numbers[row.name], by=BY)
