"""A wait for a file descriptor: that of a connection, or of a process that ends."""

import asyncio


async def readable(descriptor: int, until: float | None = None) -> bool:
    """Waits until the descriptor is readable. Returns False at `until`, on the loop's clock.

    psycopg's own waiting would wake up ten times a second.
    """
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        async with asyncio.timeout_at(until):
            return await event.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
