"""Frames from a runner to web processes: many requests share one encrypted batch."""

import os
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from inference.codec.events import split
from inference.errors import error_body

BEGAN_ANEW = "the answer was interrupted and had to begin anew; send the request again"


class Kind(IntEnum):
    EVENTS = 0  # complete SSE events of a stream
    END = 1  # the last events: recorded before they were sent
    BODY = 2  # a whole JSON answer
    ERROR = 3  # an OpenAI error object; `status` is its HTTP status


class Frame(msgspec.Struct, frozen=True, array_like=True):
    id: bytes  # of the completion
    attempt: int
    last: int  # number of the last event in `body`, counted from 1 over the whole stream
    kind: int
    body: bytes
    status: int = 200
    retry_after: int = 0
    upstream: str = ""  # the serving engine: in the first and the last frame, and in a whole answer
    preemptions: int = 0  # how often it has been preempted

    @property
    def begins(self) -> bool:
        """Returns whether it has the stream's first event."""
        return self.kind != Kind.ERROR and self.last == self.body.count(b"\n\n")

    @property
    def final(self) -> bool:
        return self.kind != Kind.EVENTS


def error_frame(number: int, status: int, code: str, message: str) -> Frame:
    """Returns an error as event `number`, which outranks events of any attempt."""
    return Frame(b"", 99, number, Kind.ERROR, error_body(message, code, status), status)


def repeats_events(frame: Frame, last: int) -> bool:
    """Returns whether it repeats events up to number `last`, which a new attempt may change."""
    events = frame.kind in (Kind.EVENTS, Kind.END)
    return events and frame.last - frame.body.count(b"\n\n") < last


def restarted(frame: Frame, last: int) -> Frame:
    """Returns an error frame: a new attempt must not continue events that it does not know."""
    error = error_frame(last + 1, 502, "stream_lost", BEGAN_ANEW)
    return msgspec.structs.replace(error, id=frame.id, attempt=frame.attempt)


def unseen(frame: Frame, last: int) -> Frame | None:
    """Returns the frame without the events up to number `last`.

    None if no event remains, and after a gap: events are never skipped.
    """
    if frame.last <= last:
        return None
    events = split(frame.body)
    first = frame.last - len(events) + 1
    if first > last + 1:
        return None
    if first == last + 1:
        return frame
    fresh = b"\n\n".join(events[last - first + 1 :]) + b"\n\n"
    return msgspec.structs.replace(frame, body=fresh)


def numbered(frame: Frame) -> bytes:
    """Returns the frame's events with their numbers as SSE ids, for `Last-Event-ID`."""
    events = split(frame.body)
    first = frame.last - len(events) + 1
    return b"".join(b"id: %d\n%b\n\n" % (first + i, event) for i, event in enumerate(events))


def upstream(pool: str, *engine: str) -> str:
    """Returns the header's text: `pool/engine/kind`, or only the pool while no engine is known.

    An engine whose entry has a version adds it: `pool/engine/kind/version`.
    """
    return "/".join(quote(part, safe="") for part in (pool, *engine) if part)


def pool_in(upstream: str) -> str:
    return unquote(upstream.split("/")[0])


def version_in(upstream: str) -> str:
    """Returns the version of the engine that an upstream names, "" without one."""
    parts = upstream.split("/")
    return unquote(parts[3]) if len(parts) > 3 else ""


def joined(frame: Frame, after: Frame) -> Frame | None:
    """Returns both as one; None unless they are consecutive pieces of one stream."""
    pieces = frame.kind == after.kind == Kind.EVENTS and frame.attempt == after.attempt
    if not pieces or after.last - frame.last != after.body.count(b"\n\n"):
        return None
    upstream = frame.upstream or after.upstream
    return msgspec.structs.replace(after, body=frame.body + after.body, upstream=upstream)


_cipher = AESGCM(settings.STREAM_KEY)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Frame])


def encrypted(frames: list[Frame], aad: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + _cipher.encrypt(nonce, _encoder.encode(frames), aad)


def decrypted(data: bytes, aad: bytes) -> list[Frame]:
    """Returns the frames; none for data that were not encrypted for this key in Redis."""
    try:
        return _decoder.decode(_cipher.decrypt(data[:12], data[12:], aad))
    except (InvalidTag, ValueError):
        return []


def in_entries(entries: Iterable[Any], name: str) -> Iterator[Frame]:
    """Yields the frames in entries of the stream with this name."""
    for _, fields in entries:
        yield from decrypted(fields[1], name.encode())


def channel(web: str) -> str:
    """Returns the key of the stream that one web process reads."""
    return f"ret:{web}"


def history(completion_id: bytes) -> str:
    """Returns the key of the stream with one completion's events; entry ids are `<last>-0`."""
    return f"gen:{completion_id.hex()}"
