"""Compares a new version with the old one: admitted requests have to run on it."""

from inference.engines import capabilities
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession


async def less(old: Engine, new: Engine, session: EngineSession) -> list[str]:
    """Returns what the new one lacks, as the engines report, else as they are declared."""
    for engine in (old, new):
        await engine.probe(session)
    losses = []
    if new.context_length < old.context_length:
        losses.append(f"{new.context_length} tokens of context instead of {old.context_length}")
    if new.config.hosted and not old.config.hosted:
        losses.append("nothing that may not leave this installation")
    missing = [n for n in capabilities.NAMES if old.known.get(n) and not _takes(new, n)]
    return losses + [f"no {name}" for name in missing]


def _takes(engine: Engine, name: str) -> bool:
    return bool(getattr(engine.capabilities, name))
