"""The models that a caller may use, in the form of all front ends."""

from typing import Any

from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from inference.engines import served
from inference.engines.adapters import AdapterInForce
from inference.engines.aliases import AliasInForce
from inference.engines.base import Engine
from inference.intake.access import allowed
from inference.intake.errors import OutOfService
from infrastructure.postgres.request_threads import in_request_thread
from tenants.caller import Caller


async def listed(caller: Caller) -> list[dict[str, Any]]:
    """Returns the caller's models. Raises OutOfService."""
    created = await _installed_at()
    models = [_described(engine, created) for engine in allowed.engines_for(caller)]
    models += map(_adapted, allowed.adapters_for(caller))
    by_name = {model["id"]: model for model in models}
    rows = [row for row in allowed.aliases_for(caller) if row.model in by_name]
    return [*models, *(_aliased(row, by_name[row.model]) for row in rows)]


async def one(caller: Caller, name: str) -> dict[str, Any]:
    """Returns one of the caller's models. Raises NoSuchModel, OutOfService."""
    own = {row.model: row for row in allowed.adapters_for(caller)}
    if name in own and name not in served():
        return _adapted(own[name])
    named = {row.name: row for row in allowed.aliases_for(caller)}
    if name in named:
        return _aliased(named[name], await one(caller, named[name].model))
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


def _adapted(row: AdapterInForce) -> dict[str, Any]:
    """Returns an adapter as a model. `parent` names its base, as vLLM has it."""
    own = {"id": row.model, "created": row.created, "parent": row.base}
    return _described(served()[row.base], row.created) | own | {"version": row.adapter.label}


def _aliased(row: AliasInForce, model: dict[str, Any]) -> dict[str, Any]:
    """Returns an alias as a model: what is behind it, under its own name."""
    return {**model, "id": row.name, "created": row.created, "alias_of": row.model}


_known: list[int] = []  # the Unix time of this installation, once it is known


async def _installed_at() -> int:
    """Returns the time of the first migration, the same for all processes and after each restart.

    Raises OutOfService.
    """
    if not _known:
        try:
            _known.append(await in_request_thread(_first_migration)())
        except DatabaseError:
            raise OutOfService("the database does not answer") from None
    return _known[0]


def _first_migration() -> int:
    first = MigrationRecorder.Migration.objects.aggregate(at=Min("applied"))["at"]
    return int(first.timestamp())
