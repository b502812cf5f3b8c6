"""Remembers committed, unsealed events outside the database (proof/vanished.py).

Redis holds only their ids and hashes. Redis may lose them; then only the seals protect.
"""

import json
import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

from audit import merkle
from audit.models import Event
from audit.trail import canonical
from infrastructure.redis import servers

log = logging.getLogger(__name__)
KEY = "fb:audit:unsealed"
WARN_EVERY_S = 60.0
_warned_at = float("-inf")


class Note(NamedTuple):
    event_id: int
    leaf: str
    what: str  # for people


def note(event_id: int, action: str, at_us: int, line: bytes) -> Note:
    at = canonical.moment(at_us)
    what = f"event {event_id} ({action} of {at:%Y-%m-%d %H:%M:%S} UTC)"
    return Note(event_id, merkle.leaf(line).hex(), what)


def remember(event: Event) -> None:
    """Notes the event as soon as the open transaction has been committed."""
    at_us = canonical.microseconds(event.at)
    new = note(event.pk, event.action, at_us, canonical.line(event))
    transaction.on_commit(lambda: keep([new]), robust=True)


def keep(notes: Iterable[Note]) -> None:
    """Stores notes. Errors of Redis are only logged, as the act is committed, and seals follow."""
    fields: dict[Any, Any] = {str(n.event_id): json.dumps([n.leaf, n.what]) for n in notes}
    try:
        if fields:
            _redis().hset(KEY, mapping=fields)
    except RedisError as problem:
        away(problem)


def count() -> int:
    """Returns the number of notes. Raises RedisError, as all functions below."""
    return int(_redis().hlen(KEY))


def some(cursor: int, at_once: int) -> tuple[int, dict[int, Note]]:
    """Returns notes from where the last call ended (0: the start); a few notes all at once."""
    answer: Any = _redis().hscan(KEY, cursor, count=at_once)
    cursor, fields = answer
    return cursor, {int(n): Note(int(n), *json.loads(value)) for n, value in fields.items()}


def forget(event_id: int) -> bool:
    """Removes a note. Returns True for only one of two processes that do."""
    return bool(_redis().hdel(KEY, str(event_id)))


def away(problem: RedisError) -> None:
    global _warned_at
    if time.monotonic() - _warned_at > WARN_EVERY_S:
        _warned_at = time.monotonic()
        log.warning("cannot note unsealed events in Redis: %s", problem)


@cache
def _redis() -> Redis:
    return servers.client(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, decode_responses=True
    )
