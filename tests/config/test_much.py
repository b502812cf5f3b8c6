"""Few bytes that are much work: trailers, headers, and requests behind one that runs."""

import json
import time
from collections.abc import Iterator

import pytest

from config.bounded_http import MOST_HEADERS, MOST_PIPELINED
from tests.config.stub_server import Client, Served, Stub, serving

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
        client.send(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * headers + b"\r\n")
        assert status(client.answer()) == expected


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
