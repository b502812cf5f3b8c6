"""Readers of a dialogue wake when it changes, also from another process, and without Redis."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as RedisAway

from inference.dialogues.changes import announce, watching

FOREVER_S = 60.0


async def test_a_reader_wakes_with_a_change_of_its_dialogue_alone(valkey: object) -> None:
    own, other = uuid4(), uuid4()
    async with watching(own) as wait:
        await asyncio.wait_for(wait(FOREVER_S), 10)  # it hears from now on
        waiting = asyncio.ensure_future(wait(FOREVER_S))
        await announce(other)
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await announce(own)
        await asyncio.wait_for(waiting, 10)


async def test_without_redis_it_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_arguments: Any) -> None:
        raise RedisAway

    layer: Any = get_channel_layer()
    monkeypatch.setattr(layer, "group_add", away)
    monkeypatch.setattr(layer, "group_send", away)
    async with watching(uuid4()) as wait:
        await announce(uuid4())
        await asyncio.wait_for(wait(0.05), 10)
