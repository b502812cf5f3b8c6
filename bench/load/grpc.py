"""python -m bench.load.grpc: the load generator over gRPC, all requests on one connection.

Frames are written and read by hand. A gRPC library would take more of the cores that the generator
shares with what it measures than the generator for REST does.
"""

import asyncio
import itertools
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlsplit

from bench.load.client import Outcome
from bench.load.generator import PROMPT, Load, Options, main
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb

CHAT = "/forebay.v1.InferenceService/Chat"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ROOM = 2**30  # bytes that the server may send: more than a slice takes
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    length = len(payload).to_bytes(3, "big")
    return length + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def header_block(options: Options) -> bytes:
    """HPACK (RFC 7541) without a dynamic table, so that every request has the same bytes."""
    fields = {
        ":path": CHAT,
        ":authority": urlsplit(options.url).netloc,
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": f"Bearer {options.key}",
    }
    plain = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return b"\x83\x86" + plain  # :method POST, :scheme http


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes((len(text),)) + text.encode()


def messages(options: Options) -> Iterator[bytes]:
    """Endless requests, no two alike, as gRPC frames them."""
    for count in itertools.count(int(perf_counter() * 1000) % 1_000_000_000):
        content = [pb.ChatMessage(role="user", content=PROMPT % count)]
        request = pb.ChatRequest(
            model=options.model,
            messages=content,
            max_tokens=options.max_tokens,
            temperature=0.7,
        )
        message = request.SerializeToString()
        yield b"\0" + len(message).to_bytes(4, "big") + message


class Connection(asyncio.Protocol):
    """Many calls on one connection."""

    def __init__(self, headers: bytes) -> None:
        self._headers = headers
        self._calls: dict[int, Slot] = {}
        self._next = 1
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = frame(SETTINGS, 0, 0, b"\0\4" + ROOM.to_bytes(4, "big"))
        window = frame(WINDOW, 0, 0, (ROOM - 65_535).to_bytes(4, "big"))
        self._transport.write(GREETING + settings + window)

    def call(self, slot: "Slot", message: bytes) -> None:
        stream, self._next = self._next, self._next + 2
        self._calls[stream] = slot
        self._transport.write(
            frame(HEADERS, END_HEADERS, stream, self._headers)
            + frame(DATA, END_STREAM, stream, message)
        )

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._read(data[at + 3], data[at + 4], stream, data[at + 9 : end])
            at = end
        self._rest = data[at:]

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if stream and (slot := self._calls.get(stream)):
            if kind == DATA:
                slot.body += payload
            if kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
                del self._calls[stream]
                slot.end("the call was reset" if kind == RESET else "")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))

    def connection_lost(self, exc: Exception | None) -> None:
        calls, self._calls = self._calls, {}
        for slot in calls.values():
            slot.end("connection closed in mid-answer")


class Slot:
    """One call at a time, on the connection of all."""

    def __init__(self, connection: Connection, options: Options, on_end: Any) -> None:
        self._connection, self._tokens, self._on_end = connection, options.tokens, on_end
        self.outcome = Outcome(0.0)
        self.body = b""

    def usable(self) -> bool:
        return True

    def send(self, request: bytes, started: float) -> None:
        self.outcome, self.body = Outcome(started), b""
        self._connection.call(self, request)

    def close(self) -> None:
        """The connection, of all: nothing runs any more."""
        self._connection.close()

    def end(self, wrong: str) -> None:
        outcome = self.outcome
        outcome.ended, outcome.wrong = perf_counter(), wrong or self._what_is_wrong()
        self._on_end(self, outcome)

    def _what_is_wrong(self) -> str:
        """An error is a call without a message."""
        if not self.body:
            return "no answer"
        usage = pb.ChatResponse.FromString(self.body[5:]).usage
        self.outcome.tokens = usage.completion_tokens
        if self._tokens and usage.completion_tokens != self._tokens:
            return f"{usage.completion_tokens} tokens"
        return ""


class GrpcLoad(Load):
    _connection: Connection | None = None

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.source = messages(options)

    async def connect(self) -> Any:
        if self._connection is None:
            address = urlsplit(self.options.url)
            _, self._connection = await asyncio.get_running_loop().create_connection(
                partial(Connection, header_block(self.options)),
                address.hostname or "",
                address.port or 80,
            )
        return Slot(self._connection, self.options, self.on_end)


if __name__ == "__main__":
    main(GrpcLoad)
