"""Notifies the client of a request without a runner that it is over."""

from inference.errors import error_body
from inference.order import Order
from inference.queue.client import client
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.stream.writer import CHANNEL_EXPIRES_S


def tell_end(order: Order, status: int, code: str, message: str, retry_after_s: int = 0) -> None:
    """Notify the waiting web process, if any. Raises redis.RedisError."""
    body = error_body(message, code, status)
    frame = Frame(order.id.bytes, 99, 1, Kind.ERROR, body, status, retry_after_s)
    channel = frames.channel(order.reply_to)
    data = frames.encrypted([frame], channel.encode())
    with client().pipeline(transaction=True) as tell:
        tell.xadd(channel, {"f": data})
        tell.expire(channel, CHANNEL_EXPIRES_S)
        tell.execute()
