"""Messages between the web process and the worker, in streams of Valkey."""

import msgspec

from infrastructure.redis.link import Script

WORK, ANSWERS, GROUP = "floor:work", "floor:answers", "workers"
KEPT = 10_000  # messages of the stream of answers
# One round trip: the tenant's limit of this minute, and the request's place in the queue.
ENQUEUE = Script.of("""
    local used = redis.call('INCRBY', KEYS[1], ARGV[1])
    if used == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], 60) end
    return redis.call('XADD', KEYS[2], '*', 'm', ARGV[2])""")


class Request(msgspec.Struct, array_like=True):
    id: bytes
    tenant: int
    body: bytes


class Part(msgspec.Struct, array_like=True):
    """A part of an answer as the client gets it."""

    id: bytes
    data: bytes
    is_last: bool
    is_stream: bool


pack = msgspec.msgpack.Encoder().encode
unpack_request = msgspec.msgpack.Decoder(Request).decode
unpack_parts = msgspec.msgpack.Decoder(list[Part]).decode
