"""A websocket's client may send few frames and bytes before they are a message."""

import contextlib
import os
import struct
from collections.abc import Iterator

import pytest

from config.http.websocket_frames import MOST_FRAMES
from config.web_server import LARGEST_MESSAGE, _config
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import FREE, BodyBudget
from tests.config.stub_server import Client, Served, Stub, serving
from tests.e2e.ask import eventually

pytestmark = pytest.mark.unit
MEGABYTE = 1_000_000
CONTINUED, TEXT, PING = 0, 1, 9


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> BodyBudget:
    budget = BodyBudget(4 * MEGABYTE)
    monkeypatch.setattr(unadmitted_bodies, "budget", lambda: budget)
    return budget


@pytest.fixture
def served(budget: BodyBudget) -> Iterator[Served]:
    with serving(Stub()) as found:
        yield found


@contextlib.contextmanager
def connected(served: Served, offered: str = "") -> Iterator[Client]:
    with served.connect() as client:
        head = (
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
        client.send(f"{head}{offered}\r\n".encode())
        answer = b""
        while b"hello" not in answer:
            answer += client.socket.recv(4096)
        client.answered = answer  # type: ignore[attr-defined]
        yield client


def frame(kind: int, payload: bytes, *, last: bool = True, length: int | None = None) -> bytes:
    """`length`: as it is announced."""
    size = len(payload) if length is None else length
    words = struct.pack("!BB", kind | (128 if last else 0), 128 | (size if size < 126 else 127))
    return words + (b"" if size < 126 else struct.pack("!Q", size)) + bytes(4) + payload


def test_messages_that_never_end_are_counted_until_there_is_no_room(
    served: Served, budget: BodyBudget
) -> None:
    unfinished = frame(TEXT, bytes(MEGABYTE // 2), length=MEGABYTE)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(served)) for _ in range(12)]
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(unfinished)
        eventually(lambda: sum(map(_was_closed, clients)) >= 7)
        assert budget.total <= 2 * MEGABYTE  # as much as remains free
    eventually(lambda: budget.total == 0)


def _was_closed(client: Client) -> bool:
    client.socket.settimeout(0.05)
    try:
        return client.rest()[-2:] != b"hello"
    except TimeoutError:
        return False


def test_pieces_of_one_message_count_together(served: Served, budget: BodyBudget) -> None:
    with connected(served) as client:
        client.send(frame(TEXT, bytes(MEGABYTE // 2), last=False))
        client.send(frame(CONTINUED, bytes(MEGABYTE // 4), last=False))
        eventually(lambda: budget.total > 0.7 * MEGABYTE)
        client.send(frame(CONTINUED, b"end"))
        eventually(lambda: budget.total == 0)
        client.send(frame(PING, b"alive?"))
        assert b"alive?" in client.socket.recv(4096)


def test_a_flood_of_frames_ends_the_connection(served: Served) -> None:
    for kind, last in ((PING, True), (TEXT, True), (CONTINUED, False)):
        with connected(served) as client, contextlib.suppress(OSError):
            client.send(frame(TEXT, b"", last=False))
            client.send(frame(kind if kind != TEXT else PING, b"", last=last) * (MOST_FRAMES + 1))
            assert struct.pack("!H", 1008) in client.rest()


def test_no_socket_unpacks_what_comes_compressed(served: Served) -> None:
    """A kilobyte would be a megabyte, hundreds of times in one piece."""
    assert _config("config.http.bounded_http:Bounded").ws_per_message_deflate is False
    assert _config("config.http.bounded_http:Bounded").ws_max_size == LARGEST_MESSAGE


def test_an_ordinary_message_counts_for_nothing(served: Served, budget: BodyBudget) -> None:
    with connected(served) as client:
        for _ in range(50):
            client.send(frame(TEXT, os.urandom(99).hex().encode()))
        client.send(frame(TEXT, bytes(FREE - 100), length=FREE))
        client.send(bytes(50))
        client.send(bytes(50) + frame(PING, b"alive?"))
        assert b"alive?" in client.socket.recv(4096)
        assert budget.total == 0
