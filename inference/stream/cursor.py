"""Following a completion from any event on: a reader that comes back, a chat, a second tab."""

import asyncio
from collections.abc import AsyncIterator

from inference.stream import frames
from inference.stream.frames import Frame
from inference.stream.sink import unseen
from tenants.redis_link import RedisLink

POLL_S, IDLE_POLL_S = 0.025, 0.1


async def follow(
    redis: RedisLink, completion_id: bytes, after: int = 0
) -> AsyncIterator[Frame | None]:
    """Frames with the events after number `after`, up to the final one.

    None whenever nothing new has come for about a second, so that the caller can look around.
    Raises RedisGone.
    """
    name, quiet, attempt = frames.history(completion_id), 0.0, 0
    while True:
        answer = await redis.call("XREAD", "COUNT", 500, "STREAMS", name, str(after))
        for _, entries in answer or ():
            for _, fields in entries:
                for frame in frames.opened(fields[1], name.encode()):
                    if frame.attempt < attempt:
                        continue
                    attempt = frame.attempt
                    fresh = frame if frame.kind == frames.Kind.ERROR else unseen(frame, after)
                    if fresh:
                        after = frame.last
                        yield fresh
                    if frame.final:
                        return
        if answer:
            quiet = 0.0
        pause = POLL_S if quiet < 1 else IDLE_POLL_S
        await asyncio.sleep(pause)
        quiet += pause
        if quiet >= 1:
            quiet = 0.0
            yield None
