"""Tells the open inboxes of a tenant that something changed. They read again; no text travels."""

import logging
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
CHANGED = "inbox.changed"
TRIES = 2  # the first after a restart of Redis meets a dead connection


def group(tenant_id: UUID) -> str:
    return f"inbox.{tenant_id.hex}"


async def tell(tenant_id: UUID) -> None:
    layer: Any = get_channel_layer()
    for _ in range(TRIES):
        try:
            await layer.group_send(group(tenant_id), {"type": CHANGED})
            return
        except (RedisError, OSError) as problem:
            log.warning("cannot tell the inboxes of %s: %s", tenant_id, problem)


def tell_on_commit(tenant_id: UUID) -> None:
    """Tell them once the open transaction is committed, from a thread without a loop."""
    transaction.on_commit(lambda: async_to_sync(tell)(tenant_id))
