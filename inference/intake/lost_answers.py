"""Recovers an answer that may have been lost on its way, for example with Redis's data."""

import time

from channels.db import database_sync_to_async
from django.db import DatabaseError

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload
from inference.errors import error_body
from inference.intake.context import Context
from inference.models import Completion, State, Usage
from inference.order import Order
from inference.record import statements
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.stream.sink import Sink
from infrastructure.redis.link import RedisGone
from tenants.scope import tenant_scope

OVERTIME_S = 5.0


async def recover(context: Context, order: Order, sink: Sink) -> None:
    """Put what is available elsewhere into the sink: stored events, or the recorded answer."""
    if order.stream:
        await _from_history(context, order, sink)
    if not sink.finished:
        frame = await database_sync_to_async(_recorded)(order, sink.last)
        if frame:
            sink.put(frame)
    if not sink.finished and time.time() > order.deadline + OVERTIME_S:
        sink.put(_error(sink.last, 504, "deadline_exceeded", "the answer took too long"))
        context.cancellation.cancel(order)


async def _from_history(context: Context, order: Order, sink: Sink) -> None:
    name = frames.history(order.id.bytes)
    try:
        answer = await context.redis.call("XREAD", "STREAMS", name, str(sink.last))
    except RedisGone:
        return
    for _, entries in answer or ():
        for _, fields in entries:
            for frame in frames.decrypted(fields[1], name.encode()):
                sink.put(frame)


def _recorded(order: Order, last: int) -> Frame | None:
    try:
        with tenant_scope(order.tenant_id):
            return _from_record(order, last)
    except DatabaseError:
        return None


def _from_record(order: Order, last: int) -> Frame | None:
    try:
        completion = Completion.objects.get(id=order.id)
        if completion.state == State.OPEN:
            return None
        usage = Usage.objects.get(completion_id=order.id)
        response = Payload.objects.filter(request_id=order.id, field="response").first()
    except (Completion.DoesNotExist, Usage.DoesNotExist):
        return None
    if completion.state == State.CANCELLED:
        return _error(last, 499, "cancelled", "this request was cancelled")
    if usage.error_code or response is None or order.stream:
        code = usage.error_code or "stream_lost"
        return _error(last, 502, code, "the answer ended, but was lost on its way; send it again")
    try:
        cipher = keyring.by_id_now(response.data_key_id)
        body = cipher.decrypt(bytes(response.ciphertext), statements.aad(order, "response"))
    except Unreadable:
        return _error(last, 502, "stream_lost", "the answer has been erased")
    served_by = frames.upstream(completion.queue)
    return Frame(order.id.bytes, usage.attempts, last, Kind.BODY, body, upstream=served_by)


def _error(last: int, status: int, code: str, message: str) -> Frame:
    """Returns an error from the record, which outranks events of any attempt."""
    return Frame(b"", 99, last + 1, Kind.ERROR, error_body(message, code, status), status)
