"""The consumption of a preempted request so far, and how often it was preempted.

It is in Redis beside the request's events (stream/frames.py), until the request has ended or its
deadline is over. If Redis loses its data, the request begins anew, and counts anew. Long work has
it in its checkpoint instead (models/run_checkpoint.py).
"""

from typing import Any
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from inference import classes
from inference.models import Checkpoint
from inference.order import Order
from inference.queue.client import client
from inference.record.outcome import Outcome
from inference.record.work_units import total_units
from inference.stream import frames
from infrastructure.redis.link import RedisLink
from tenants.scope import tenant_scope

GRACE_S = 60  # after its deadline the sweeper has closed it
MOST_TIMES = 3  # then it runs to its end


class Parked(msgspec.Struct, frozen=True, array_like=True):
    times: int = 0
    events: int = 0  # that are stored
    prompt_tokens: int = 0
    completion_tokens: int = 0
    queue_ms: int | None = None  # until it began for the first time
    ttft_ms: int | None = None
    gpu_ms: int = 0
    stops: int = 0  # of its workers, which put it back; `times` leaves them out
    millijoules: int | None = None  # None: not measured

    @property
    def work_units(self) -> int:
        """Returns the work units that the fair queue has charged to its tenant."""
        return total_units(self.prompt_tokens, self.completion_tokens, self.gpu_ms)

    @property
    def returns(self) -> int:
        """Returns how often it has gone back into its line."""
        return self.times + self.stops

    def ended(self, outcome: Outcome) -> Outcome:
        """Returns the outcome of a request that ended while it waited again."""
        return msgspec.structs.replace(
            outcome,
            preemptions=self.times,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            gpu_ms=self.gpu_ms,
            millijoules=self.millijoules,
            queue_ms=self.queue_ms,
            ttft_ms=self.ttft_ms,
        )


NEVER = Parked()
_decode = msgspec.msgpack.Decoder(Parked).decode


def at_checkpoint(row: Checkpoint) -> Parked:
    return Parked(
        times=row.preemptions,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        queue_ms=row.queue_ms,
        gpu_ms=row.gpu_ms,
        stops=row.stops,
    )


def _name(completion_id: bytes) -> str:
    return f"parked:{completion_id.hex()}"


def _read(encoded: Any) -> Parked:
    try:
        return _decode(encoded) if encoded else NEVER
    except msgspec.DecodeError:
        return NEVER


async def read(redis: RedisLink, completion_id: UUID) -> Parked:
    """Returns its record, NEVER if it was not preempted. Raises RedisGone."""
    return _read(await redis.call("GET", _name(completion_id.bytes)))


@database_sync_to_async
def _checkpoint(order: Order) -> Checkpoint | None:
    with tenant_scope(order.tenant_id):
        return Checkpoint.objects.filter(pk=order.id).first()


async def taken(redis: RedisLink, order: Order) -> Parked:
    """Returns what a request without a runner has taken. Raises RedisGone, DatabaseError."""
    if classes.of(order.klass, order.route).checkpoints:
        checkpoint = await _checkpoint(order)
        return at_checkpoint(checkpoint) if checkpoint else NEVER
    return await read(redis, order.id)


def taken_now(order: Order) -> Parked:
    """Returns the same, blocking, in the open scope. Raises redis.RedisError, DatabaseError."""
    checkpoint = Checkpoint.objects.filter(pk=order.id).first()
    return at_checkpoint(checkpoint) if checkpoint else _read(client().get(_name(order.id.bytes)))


async def keep(redis: RedisLink, order: Order, parked: Parked) -> None:
    """Store the record, and extend that of its events. Raises RedisGone."""
    until = int(order.deadline) + GRACE_S
    await redis.many(
        [
            ("SET", _name(order.id.bytes), msgspec.msgpack.encode(parked), "EXAT", until),
            ("EXPIREAT", frames.history(order.id.bytes), until),
        ]
    )


async def forget(redis: RedisLink, order: Order) -> None:
    """Delete the record of an ended request, and its events. Raises RedisGone.

    The events of a stream stay, since readers may still ask for them.
    """
    names = [_name(order.id.bytes)]
    if not order.stream:
        names.append(frames.history(order.id.bytes))
    await redis.many([("UNLINK", name) for name in names])


def forget_now(order: Order) -> None:
    """Delete both for a request that ended without an answer. Raises redis.RedisError."""
    for name in (_name(order.id.bytes), frames.history(order.id.bytes)):
        client().unlink(name)
