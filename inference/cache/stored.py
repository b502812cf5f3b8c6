"""What a tenant has in Redis, and how it goes: for pages and erasures, not for requests."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from inference.cache.second_level import prefix
from inference.queue.client import ask_script, client
from infrastructure.redis.link import Script

BATCH = 500
DROP = Script.load(Path(__file__).parent / "drop.lua", when_full=True)


@dataclass(slots=True)
class Stored:
    """By model: answers and their bytes."""

    entries: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


def stored(tenant_id: UUID) -> Stored:
    """Raises redis.RedisError."""
    found = Stored()
    for _, size, _, model in _lines(tenant_id):
        found.entries[model] += 1
        found.bytes[model] += size
    return found


def purge(tenant_id: UUID) -> int:
    """How many answers went. Raises redis.RedisError."""
    return _drop(tenant_id, "")


def purge_subject(tenant_id: UUID, subject_id: UUID) -> int:
    """Those that a person asked for first. Raises redis.RedisError."""
    return _drop(tenant_id, subject_id.hex)


def left_of(tenant_id: UUID, subject_id: UUID) -> int:
    """Raises redis.RedisError."""
    return sum(subject == subject_id.hex for _, _, subject, _ in _lines(tenant_id))


def _drop(tenant_id: UUID, wanted: str) -> int:
    """Workers keep and drop answers meanwhile."""
    names = [name for name, _, subject, _ in _lines(tenant_id) if wanted in ("", subject)]
    where, went = prefix(tenant_id), 0
    for start in range(0, len(names), BATCH):
        with client().pipeline(transaction=False) as ask:
            ask_script(ask, DROP, where, wanted, *names[start : start + BATCH])
            went += sum(ask.execute())
    return went


_LINE = re.compile(r"(\d{1,12})\|([0-9a-f]{32})\|(.*)", re.DOTALL)


def _lines(tenant_id: UUID) -> Iterator[tuple[str, int, str, str]]:
    """Name, bytes, subject and model of each; what is not ours is passed over."""
    for name, told in client().hscan_iter(f"{prefix(tenant_id)}:about", count=1000):
        if found := _LINE.fullmatch(told.decode(errors="replace")):
            yield name.decode(errors="replace"), int(found[1]), found[2], found[3]
