"""Whether a new version takes all that the old one takes: what was admitted has to run there."""

from inference.engines import capabilities
from inference.engines.base import Engine
from inference.engines.session import EngineSession


async def less(old: Engine, new: Engine, session: EngineSession) -> list[str]:
    """What the new one does not take; as the engines say themselves, else as is declared."""
    for engine in (old, new):
        await engine.probe(session)
    found = []
    if new.context_length < old.context_length:
        found.append(f"{new.context_length} tokens of context instead of {old.context_length}")
    if new.config.hosted and not old.config.hosted:
        found.append("nothing that may not leave this installation")
    lost = [n for n in capabilities.NAMES if old.known.get(n) and not _takes(new, n)]
    return found + [f"no {name}" for name in lost]


def _takes(engine: Engine, name: str) -> bool:
    return bool(getattr(engine.capabilities, name))
