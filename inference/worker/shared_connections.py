"""The connections that all runners of one event loop share.

Rows of many engines become durable in one commit, their frames leave in one write, and their
commands reach Valkey together. The first runner opens the connections, the last one closes them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

from audit.trail.group_commit import GroupCommit
from inference.cache.levels import SecondLevel
from inference.engines.health import breakers
from inference.record import sql_statements
from inference.record.recorded_requests import EncryptedRequests
from inference.stream.writer import Writer
from infrastructure.postgres.lookups import Lookups
from infrastructure.redis.cluster_link import link_to

SETTLE_PATIENCE_S = 60.0


class SharedConnections:
    def __init__(self) -> None:
        self.users = 0
        self.redis = link_to(settings.REDIS_URL)
        self.writer = Writer(self.redis)
        self.answers = SecondLevel(self.redis)
        self.commits = GroupCommit(
            settings.DATABASE_URL,
            sql_statements.SETTLED,
            patience_s=SETTLE_PATIENCE_S,
            what="settled",
        )
        self.recorded = EncryptedRequests(settings.DATABASE_URL)
        self.lookups = Lookups(settings.DATABASE_URL)
        self._breakers = asyncio.create_task(breakers.keep_fresh(settings.REDIS_URL))

    async def close(self) -> None:
        self._breakers.cancel()
        await self.writer.drained()
        await self.commits.close()
        await self.recorded.close()
        await self.lookups.close()
        self.redis.close()


_open: dict[tuple[asyncio.AbstractEventLoop, str], SharedConnections] = {}  # by loop and database


@asynccontextmanager
async def shared_connections() -> AsyncIterator[SharedConnections]:
    """Yields the connections of the running loop to the settings' servers."""
    key = asyncio.get_running_loop(), settings.DATABASE_URL
    connections = _open.get(key) or _open.setdefault(key, SharedConnections())
    connections.users += 1
    try:
        yield connections
    finally:
        connections.users -= 1
        if not connections.users:
            del _open[key]  # whoever comes while they close opens others
            await connections.close()
