"""The cached answers of a tenant in Redis, for pages, purges and erasures."""

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
    """Answers and their bytes, by model."""

    entries: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


def stored(tenant_id: UUID) -> Stored:
    """Returns the tenant's. Raises redis.RedisError."""
    totals = Stored()
    for _, size, _, model in _lines(tenant_id):
        totals.entries[model] += 1
        totals.bytes[model] += size
    return totals


def purge(tenant_id: UUID) -> int:
    """Delete a tenant's answers and return their number. Raises redis.RedisError."""
    return _drop(tenant_id, "")


def purge_subject(tenant_id: UUID, subject_id: UUID) -> int:
    """Delete those that a person asked for first. Raises redis.RedisError."""
    return _drop(tenant_id, subject_id.hex)


def left_of(tenant_id: UUID, subject_id: UUID) -> int:
    """Returns how many of a person's remain. Raises redis.RedisError."""
    return sum(subject == subject_id.hex for _, _, subject, _ in _lines(tenant_id))


def _drop(tenant_id: UUID, owner: str) -> int:
    """Delete answers; workers may store and delete others meanwhile."""
    names = [name for name, _, subject, _ in _lines(tenant_id) if owner in ("", subject)]
    where, count = prefix(tenant_id), 0
    for start in range(0, len(names), BATCH):
        with client().pipeline(transaction=False) as ask:
            ask_script(ask, DROP, where, owner, *names[start : start + BATCH])
            count += sum(ask.execute())
    return count


_LINE = re.compile(r"(\d{1,12})\|([0-9a-f]{32})\|(.*)", re.DOTALL)


def _lines(tenant_id: UUID) -> Iterator[tuple[str, int, str, str]]:
    """Yields name, bytes, subject and model of each. Foreign fields are skipped."""
    for name, text in client().hscan_iter(f"{prefix(tenant_id)}:about", count=1000):
        if match := _LINE.fullmatch(text.decode(errors="replace")):
            yield name.decode(errors="replace"), int(match[1]), match[2], match[3]
