"""Few bytes that are much work: trailers, headers, and requests behind one that runs."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from config.http.bounded_http import MOST_HEADERS, MOST_PIPELINED, Bounded
from tests.config.stub_server import Client, Served, Stub, request_id, serving

pytestmark = pytest.mark.unit
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
SLOW = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Stub()) as found:
        yield found


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize(
    "without_end",
    [
        b"0\r\nX-One: " + b"a" * 1_000_000,
        b"0\r\n" + b"X-One: a\r\n" * 100_000,
        b"2;x=" + b"a" * 1_000_000,
    ],
)
def test_what_comes_beside_a_body_is_bounded(served: Served, without_end: bytes) -> None:
    """Each further piece of a trailer took longer than the last one: 40 MB, most of a minute."""
    with served.connect() as client:
        client.send(CHUNKED)
        try:
            client.send(without_end)
            answer = client.rest()
        except OSError:  # it has closed in the middle
            answer = client.rest()
    if answer:
        assert status(answer) == 400
        assert request_id(answer).version == 4
        assert "trailers" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_a_trailer_is_no_header(served: Served) -> None:
    """A proxy that passes it on has not looked at it: it must not become an address of a client."""
    with served.connect() as client:
        client.send(CHUNKED + b"0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
        said = json.loads(client.answer().partition(b"\r\n\r\n")[2])
    assert said["body"] == "ab"
    assert said["headers"] == ["host", "transfer-encoding"]


def test_a_body_in_small_pieces(served: Served) -> None:
    """Its framing is five times as much as the body."""
    chunks = b"1\r\na\r\n" * 50_000
    with served.connect() as client:
        said = client.send(CHUNKED + chunks + b"0\r\n\r\n").answer()
    assert status(said) == 200
    assert said.count(b"a" * 50_000) == 1


@pytest.mark.parametrize(("headers", "expected"), [(MOST_HEADERS, 200), (MOST_HEADERS + 1, 400)])
def test_how_many_headers(served: Served, headers: int, expected: int) -> None:
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * (headers - 1) + b"\r\n")
        assert status(client.answer()) == expected


def test_what_cannot_be_read_is_told_in_the_apis_shape(served: Served) -> None:
    answers = []
    for unreadable in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300):
        with served.connect() as client:
            answers.append(client.send(unreadable).rest())
    assert [status(answer) for answer in answers] == [400, 400]
    for answer in answers:
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert error["type"] == "invalid_request_error"
    assert len(set(map(request_id, answers))) == 2


def test_so_many_requests_may_wait_behind_one_that_runs(served: Served) -> None:
    last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with served.connect() as client:
        answers = client.send(SLOW + SLOW.replace(b"/stream", b"/x") * 15 + last).rest()
    assert answers.count(b"HTTP/1.1 200") == 1 + MOST_PIPELINED


def test_more_end_the_connection(served: Served) -> None:
    with served.connect() as client:
        began = time.monotonic()
        answers = client.send(SLOW * (2 + MOST_PIPELINED)).rest()
        assert time.monotonic() - began < 5
    assert b"400" not in answers


@pytest.mark.parametrize(
    "behind",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ],
)
def test_nothing_is_written_into_an_answer(served: Served, behind: bytes) -> None:
    with served.connect() as client:
        client.send(SLOW)
        _wait_for(client, b"0;")
        answer = client.send(behind).rest()
    assert b"HTTP/1.1" not in answer


def _wait_for(client: Client, text: bytes) -> None:
    found = b""
    while text not in found:
        found += client.socket.recv(65536)


class Wire(asyncio.Transport):
    """The server's end of a connection, on which a piece is as large as the test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.closed = b"", False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.sent += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def in_pieces(*pieces: bytes) -> list[int]:
    """The answers' statuses."""
    config = uvicorn.Config(Stub(), lifespan="off", log_config=None)
    config.load()
    wire, protocol = Wire(), Bounded(config, ServerState(), {})
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
            await asyncio.sleep(0.01)
    protocol.connection_lost(None)
    return [int(found) for found in re.findall(rb"HTTP/1.1 (\d+)", wire.sent)]


REQUEST = b"POST /x HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b"


def posted(head: int, body: int) -> bytes:
    lines = b"".join(b"X-%d: %b\r\n" % (n, b"a" * 10_000) for n in range(head // 10_000))
    return REQUEST % (lines, body, b"b" * body)


async def test_a_large_head_in_one_piece() -> None:
    assert await in_pieces(posted(50_000, 10)) == [200]
    assert await in_pieces(posted(80_000, 10)) == [400]
    assert await in_pieces(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n") == [400]


async def test_a_large_body_with_its_head_in_one_piece() -> None:
    assert await in_pieces(posted(0, 200_000), posted(50_000, 200_000)) == [200, 200]


async def test_a_large_head_behind_the_end_of_a_body() -> None:
    one, two = posted(0, 100), posted(80_000, 10)
    assert await in_pieces(one + two) == [400]
    assert await in_pieces(one[:-50], one[-50:] + two[:60_000], two[60_000:]) == [200, 400]
