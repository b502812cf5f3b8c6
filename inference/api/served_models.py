"""The models that a caller may use, in the form of all front ends."""

from typing import Any

from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from inference.engines.base import Engine
from inference.intake.access import allowed
from inference.intake.errors import OutOfService
from tenants.caller import Caller


async def listed(caller: Caller) -> list[dict[str, Any]]:
    """Returns the caller's models. Raises OutOfService."""
    created = await _installed_at()
    return [_described(engine, created) for engine in allowed.engines_for(caller)]


async def one(caller: Caller, name: str) -> dict[str, Any]:
    """Returns one of the caller's models. Raises NoSuchModel, OutOfService."""
    engine = allowed.listed(caller, name)
    return _described(engine, await _installed_at())


def _described(engine: Engine, installed_at: int) -> dict[str, Any]:
    config = engine.config
    return {
        "id": config.name,
        "created": config.created or installed_at,
        "owned_by": "forebay",
        "context_length": engine.context_length,
        "capabilities": dict(engine.known),
    }


_known: list[int] = []  # the Unix time of this installation, once it is known


async def _installed_at() -> int:
    """Returns the time of the first migration, the same for all processes and after each restart.

    Raises OutOfService.
    """
    if not _known:
        try:
            _known.append(await database_sync_to_async(_first_migration)())
        except DatabaseError:
            raise OutOfService("the database does not answer") from None
    return _known[0]


def _first_migration() -> int:
    first = MigrationRecorder.Migration.objects.aggregate(at=Min("applied"))["at"]
    return int(first.timestamp())
