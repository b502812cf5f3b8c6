"""What is known of a request that was parked: how often, and what it had taken until then.

It lies in Redis beside the request's events (stream/frames.py), until the request has ended or its
deadline is over. When Redis loses its data, the request begins anew, and counts anew.
"""

from typing import Any
from uuid import UUID

import msgspec

from inference.order import Order
from inference.queue.client import client
from inference.record.statements import Outcome
from inference.stream import frames
from infrastructure.redis.link import RedisLink

GRACE_S = 60  # after its deadline the sweeper has closed it
MOST_TIMES = 3  # then it runs through


class Parked(msgspec.Struct, frozen=True, array_like=True):
    times: int = 0
    events: int = 0  # that are kept
    prompt_tokens: int = 0
    completion_tokens: int = 0
    queue_ms: int | None = None  # until it began for the first time
    ttft_ms: int | None = None

    @property
    def cost(self) -> int:
        """That its tenant has been charged with, in the fair queue's unit."""
        return self.prompt_tokens + 2 * self.completion_tokens

    def ended(self, outcome: Outcome) -> Outcome:
        """The outcome of one that ended while it waited again."""
        return msgspec.structs.replace(
            outcome,
            preemptions=self.times,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            queue_ms=self.queue_ms,
            ttft_ms=self.ttft_ms,
        )


NEVER = Parked()
_decode = msgspec.msgpack.Decoder(Parked).decode


def _name(completion_id: bytes) -> str:
    return f"parked:{completion_id.hex()}"


def _read(found: Any) -> Parked:
    try:
        return _decode(found) if found else NEVER
    except msgspec.DecodeError:
        return NEVER


async def read(redis: RedisLink, completion_id: UUID) -> Parked:
    """Raises RedisGone."""
    return _read(await redis.call("GET", _name(completion_id.bytes)))


def read_now(completion_id: UUID) -> Parked:
    """Raises redis.RedisError."""
    return _read(client().get(_name(completion_id.bytes)))


async def keep(redis: RedisLink, order: Order, parked: Parked) -> None:
    """With its events. Raises RedisGone."""
    until = int(order.deadline) + GRACE_S
    await redis.many(
        [
            ("SET", _name(order.id.bytes), msgspec.msgpack.encode(parked), "EXAT", until),
            ("EXPIREAT", frames.history(order.id.bytes), until),
        ]
    )


async def forget(redis: RedisLink, order: Order) -> None:
    """It has ended. Of a stream, readers may still ask for events. Raises RedisGone."""
    names = [_name(order.id.bytes)]
    if not order.stream:
        names.append(frames.history(order.id.bytes))
    await redis.many([("UNLINK", name) for name in names])


def forget_now(order: Order) -> None:
    """Of one that has ended without an answer. Raises redis.RedisError."""
    for name in (_name(order.id.bytes), frames.history(order.id.bytes)):
        client().unlink(name)
