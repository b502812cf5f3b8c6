"""Follows a completion from any event, for a resumed stream, a chat or a second tab."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from inference.stream import frames
from inference.stream.frames import Frame, Kind, repeats_events, restarted, unseen
from infrastructure.redis.link import RedisLink

POLL_S, IDLE_POLL_S, QUIET_S = 0.025, 0.1, 1.0
AT_A_TIME = 64  # entries


async def follow(
    redis: RedisLink, completion_id: bytes, after: int = 0
) -> AsyncIterator[Frame | None]:
    """Yields frames with the events after number `after`, up to the final one.

    It yields None after each second without a new one, so that the caller can check its end. Raises
    RedisGone.
    """
    name, attempt = frames.history(completion_id), 0
    loop = asyncio.get_running_loop()
    yielded_at = loop.time()
    if after and await _over(redis, name, after):
        return
    while True:
        previous = after
        answer = await redis.call("XREAD", "COUNT", AT_A_TIME, "STREAMS", name, str(after))
        for frame in _frames(answer, name):
            if frame.attempt > attempt > 0 and repeats_events(frame, after):
                frame = restarted(frame, after)
            fresh = frame if frame.kind == Kind.ERROR else unseen(frame, after)
            if frame.attempt < attempt or fresh is None:
                continue
            attempt, after, yielded_at = frame.attempt, frame.last, loop.time()
            yield fresh
            if frame.final:
                return
        if answer and after > previous:  # there may be more
            continue
        quiet = loop.time() - yielded_at
        if quiet >= QUIET_S:
            yielded_at = loop.time()
            yield None
        await asyncio.sleep(POLL_S if quiet < QUIET_S / 2 else IDLE_POLL_S)


async def _over(redis: RedisLink, name: str, after: int) -> bool:
    """Returns whether the reader has had the last event already."""
    newest = await redis.call("XREVRANGE", name, "+", "-", "COUNT", 1)
    last_frames = list(frames.in_entries(newest, name))
    return bool(last_frames) and last_frames[-1].final and last_frames[-1].last <= after


def _frames(answer: Any, name: str) -> Iterator[Frame]:
    for _, entries in answer or ():
        yield from frames.in_entries(entries, name)
