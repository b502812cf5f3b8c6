"""Which requests on record no queue has, because another one in flight is answered for them too.

Said again and again by the web process that gives them its events, while it lives.
"""

from collections.abc import Sequence
from uuid import UUID

from inference.queue.client import client
from infrastructure.redis.link import RedisLink

SAY_S, LASTS_MS = 1.0, 5_000


def _name(completion_id: UUID) -> str:
    return f"along:{completion_id.hex}"


async def say(redis: RedisLink, completion_id: UUID) -> None:
    """Raises RedisGone."""
    await redis.call("SET", _name(completion_id), b"", "PX", LASTS_MS)


def without_these(ids: Sequence[UUID]) -> list[UUID]:
    """Those of which nobody says so. Raises redis.RedisError."""
    with client().pipeline(transaction=False) as ask:
        for completion_id in ids:
            ask.exists(_name(completion_id))
        return [one for one, said in zip(ids, ask.execute(), strict=True) if not said]
