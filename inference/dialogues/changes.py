"""Tells readers of a dialogue that it changed. They read again; no text travels here.

A reader that misses a message, since Redis is away, sees the change when it looks by itself.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
CHANGED = "dialogue.changed"
AGAIN_S = 1.0  # until it tries to hear again
TRIES = 2  # the first after a restart of Redis meets a dead connection
Wait = Callable[[float], Awaitable[None]]


def group(dialogue_id: UUID) -> str:
    return f"dialogue.{dialogue_id.hex}"


async def announce(dialogue_id: UUID) -> None:
    layer: Any = get_channel_layer()
    for _ in range(TRIES):
        try:
            await layer.group_send(group(dialogue_id), {"type": CHANGED})
            return
        except (RedisError, OSError) as problem:
            log.warning("cannot tell the readers of %s: %s", dialogue_id, problem)


def announce_on_commit(dialogue_id: UUID) -> None:
    """Tell the readers once the open transaction is committed, from a thread without a loop."""
    transaction.on_commit(lambda: async_to_sync(announce)(dialogue_id))


@contextlib.asynccontextmanager
async def watching(dialogue_id: UUID) -> AsyncIterator[Wait]:
    """Yields a function that waits for the next change, or for so many seconds."""
    changed = asyncio.Event()
    listener = asyncio.create_task(_listen(dialogue_id, changed))

    async def wait(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)
        changed.clear()

    try:
        yield wait
    finally:
        listener.cancel()


async def _listen(dialogue_id: UUID, changed: asyncio.Event) -> None:
    layer: Any = get_channel_layer()
    while True:
        try:
            channel = await layer.new_channel()
            await layer.group_add(group(dialogue_id), channel)
            changed.set()  # of what happened before it could hear
            while True:
                await layer.receive(channel)
                changed.set()
        except (RedisError, OSError) as problem:
            log.warning("cannot follow dialogue %s: %s", dialogue_id, problem)
            await asyncio.sleep(AGAIN_S)
