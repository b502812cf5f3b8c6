"""The models that a caller may use, in the form of all front ends."""

from typing import Any

from inference.api import installed_at
from inference.engines.base import Engine
from inference.intake.access import allowed
from tenants.caller import Caller


async def listed(caller: Caller) -> list[dict[str, Any]]:
    """Returns the caller's models. Raises OutOfService."""
    created = await installed_at.at()
    return [_described(engine, created) for engine in allowed.engines_for(caller)]


async def one(caller: Caller, name: str) -> dict[str, Any]:
    """Returns one of the caller's models. Raises NoSuchModel, OutOfService."""
    engine = allowed.listed(caller, name)
    return _described(engine, await installed_at.at())


def _described(engine: Engine, installed_at: int) -> dict[str, Any]:
    config = engine.config
    return {
        "id": config.name,
        "created": config.created or installed_at,
        "owned_by": "forebay",
        "context_length": engine.context_length,
        "capabilities": dict(engine.known),
    }
