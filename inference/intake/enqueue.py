"""Step 6, the queue: a recorded request waits for its turn."""

import asyncio

from inference.intake.answer_stream import forget_reader
from inference.intake.context import Context
from inference.intake.errors import OutOfService
from inference.order import Order
from inference.queue.expected_wait import Place
from inference.queue.pool_workers import wake_engine, wake_up
from inference.stream.reader_buffer import ReaderBuffer
from infrastructure.redis.link import RedisGone

PATIENCE_S = 10.0  # a restart of Redis takes less
AGAIN_S = 0.2


async def enqueue(
    context: Context, order: Order, ciphertext: bytes, buffer: ReaderBuffer, prefixes: str = ""
) -> Place:
    """Join the queue and return the place in it; wait PATIENCE_S for a Redis that is away.

    `prefixes`: hashes of its prompt, by which the queue prefers an engine.
    Raises OutOfService if the order has been settled as not run.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_S
    while True:
        try:
            async with asyncio.timeout_at(until):
                joined = await context.queues[order.queue].join(order.item, ciphertext, prefixes)
            if joined.wakes:
                loop.run_in_executor(context.queues.messenger, wake_up, order.queue)
            elif joined.asleep:
                messenger = context.queues.messenger
                loop.run_in_executor(messenger, wake_engine, order.queue, joined.asleep)
            context.queues.look_after(order.queue)
            return joined.place
        except (RedisGone, TimeoutError) as problem:
            if buffer.attempt:  # the sweeper queued it, and it runs
                return Place()
            if loop.time() + AGAIN_S >= until:
                await _give_up(context, order)
                raise OutOfService(f"request {order.id} did not run: {problem}") from None
            await asyncio.sleep(AGAIN_S)


async def _give_up(context: Context, order: Order) -> None:
    forget_reader(context, order)
    context.limits.rate.over(str(order.id))
    await context.cancellation.never_queued(order)
