"""Notifies a member's tabs of changes. They read again; no text travels here."""

import logging
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
CHANGED = "chat.changed"
TRIES = 2  # the first after a restart of Redis meets a dead connection


def group(member_id: UUID) -> str:
    return f"chat.{member_id.hex}"


async def announce(member_id: UUID, conversation_id: UUID, origin: str = "") -> None:
    """Notify them. `origin` is the channel that knows already; a tab that misses it catches up."""
    event: dict[str, Any] = {
        "type": CHANGED,
        "conversation": str(conversation_id),
        "origin": origin,
    }
    layer = get_channel_layer()
    assert layer is not None
    for _ in range(TRIES):
        try:
            return await layer.group_send(group(member_id), event)
        except (RedisError, OSError) as problem:
            log.warning("cannot notify the tabs of %s: %s", member_id, problem)
    return None
