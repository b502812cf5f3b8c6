"""Keeps the breakers' states of this process fresh: a change arrives before the next request.

A blocking read of the stream of changes waits in Redis until there is one. While an engine has
trouble, the states are read each second as well, to notice a Redis that has lost them.
"""

import asyncio
import logging

from inference.engines.health import breakers
from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import TROUBLE, RedisLink

log = logging.getLogger(__name__)
BLOCK_MS, BLOCK_INTROUBLE_MS = 10_000, 1_000
AGAIN_S = 0.3


async def refresh(redis: RedisLink) -> bytes:
    """Read all states. Returns the id of the latest change. Raises RedisGone."""
    answer = await redis.run(breakers.STATES, [breakers.STATES_KEY, breakers.CHANGES_KEY])
    return breakers.learn_all(answer)


async def keep_fresh(redis_url: str) -> None:
    """Read all changes until it is cancelled."""
    redis = link_to(redis_url, timeout_s=BLOCK_MS / 1000 * 2)
    try:
        while True:
            await _look(redis)
    finally:
        redis.close()


async def _look(redis: RedisLink) -> None:
    try:
        latest = await refresh(redis)
        block_ms = BLOCK_INTROUBLE_MS if breakers.any_trouble() else BLOCK_MS
        await redis.call(
            "XREAD", "BLOCK", block_ms, "COUNT", 1, "STREAMS", breakers.CHANGES_KEY, latest
        )
    except TROUBLE as problem:
        log.debug("cannot read the breakers' states: %s", problem)
        await asyncio.sleep(AGAIN_S)
