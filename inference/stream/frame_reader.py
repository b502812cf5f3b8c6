"""Reads frames off a web process's stream, and puts each into the buffer of its reader."""

import asyncio
import logging

import hiredis

from inference.stream import frames
from inference.stream.reader_buffer import Backlog, ReaderBuffer
from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)
BLOCK_MS = 5_000


class FrameReader:
    """`web`: the id of this process, to which runners reply."""

    def __init__(self, redis_url: str, web: str) -> None:
        self.web, self._channel = web, frames.channel(web)
        self._redis = link_to(redis_url, timeout_s=BLOCK_MS / 1000 * 3)
        self.buffers: dict[bytes, ReaderBuffer] = {}
        self.backlog = Backlog()
        self._last = b"0"
        self._task = asyncio.create_task(self._read())

    def expect(self, completion_id: bytes, tenant: bytes = b"") -> ReaderBuffer:
        buffer = self.buffers[completion_id] = ReaderBuffer(tenant, self.backlog)
        return buffer

    def forget(self, completion_id: bytes) -> None:
        if buffer := self.buffers.pop(completion_id, None):
            buffer.forget()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._redis.close()

    async def _read(self) -> None:
        while True:
            try:
                await self._read_once()
            except RedisGone:
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("reading frames of %s failed; continuing", self._channel)
                await asyncio.sleep(0.2)

    async def _read_once(self) -> None:
        # In this order both answers arrive together: the other one would wake this process twice.
        answer, _ = await self._redis.many(
            [
                ("XREAD", "BLOCK", BLOCK_MS, "COUNT", 200, "STREAMS", self._channel, self._last),
                ("XTRIM", self._channel, "MINID", self._last),  # entries that were read before
            ]
        )
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        for _, entries in answer or ():
            for entry_id, fields in entries:
                self._last = entry_id
                self._distribute(fields[1])

    def _distribute(self, data: bytes) -> None:
        for frame in frames.decrypted(data, self._channel.encode()):
            buffer = self.buffers.get(frame.id)
            if buffer:
                buffer.put(frame)
