"""Clients that send or read slowly are sent away; clients that wait for an answer are not."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from django.conf import settings
from django.test import override_settings

from config.http.connection_limit import ConnectionLimit
from config.pages.handler import bounded
from config.pages.page_request import Visit
from tests.config.stub_server import Client, Served, Stub, request_id, serving

pytestmark = pytest.mark.unit
HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
KEEP_ALIVE_S = settings.KEEP_ALIVE_S  # out of the box


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    soon = dict.fromkeys(("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "KEEP_ALIVE_S"), 0.3)
    soon["SEND_TIMEOUT_S"] = 0.5
    with override_settings(**soon), pytest.MonkeyPatch.context() as patch, serving(Stub()) as found:
        patch.setattr(ConnectionLimit, "TICK_S", 0.1)
        yield found


def told(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"] if body else ""


def until_closed(client: Client) -> tuple[bytes, float]:
    began = time.monotonic()
    return client.rest(), time.monotonic() - began


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", None),
        (b"\r\n", "head"),
        (b"GET / HT", "head"),
        (HEAD, "head"),
        (HEAD + b"\r\n", "body"),
        (HEAD + b"\r\n12345", "body"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", "body"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n", "body"),
    ],
)
def test_a_request_that_does_not_arrive(served: Served, sent: bytes, says: str | None) -> None:
    with served.connect() as client:
        answer, took = until_closed(client.send(sent))
    assert 0.25 < took < 4
    if says is None:
        assert answer == b""
    else:
        assert told(answer) == (408, "request_timeout")
        assert f"the {says} of this request" in answer.decode()
        assert b"connection: close" in answer
        assert request_id(answer).version == 4


@pytest.fixture
def lenient() -> Iterator[Served]:
    """Takes 1,000 bytes a second after 0.3 s, and nothing longer than 2 s."""
    limits = {"BODY_TIMEOUT_S": 0.3, "BODY_BYTES_PER_S": 1000, "BODY_LONGEST_S": 2.0}
    with override_settings(**limits), pytest.MonkeyPatch.context() as patch, serving(Stub()) as s:
        patch.setattr(ConnectionLimit, "TICK_S", 0.05)
        yield s


def fed(served: Served, size: int, piece: int) -> tuple[bytes, float]:
    """The answer to a body that comes piece by piece, ten a second; when it came, in seconds."""
    head = HEAD.replace(b"Length: 10", b"Length: %d" % size) + b"\r\n"
    began = time.monotonic()
    with served.connect() as client:
        client.send(head)
        client.socket.settimeout(0.1)
        for _ in range(min(size // piece, 100)):
            client.send(b"x" * piece)
            try:
                if answer := client.socket.recv(65536):
                    return answer, time.monotonic() - began
            except TimeoutError:
                pass
        client.socket.settimeout(10)
        return client.answer(), time.monotonic() - began


def test_a_large_body_on_a_slow_line(lenient: Served) -> None:
    answer, took = fed(lenient, 2000, 200)
    assert answer.startswith(b"HTTP/1.1 200")
    assert took > 0.9


def test_one_slower_than_that(lenient: Served) -> None:
    answer, took = fed(lenient, 2000, 20)
    assert told(answer) == (408, "request_timeout")
    assert "1000 bytes a second" in answer.decode()
    assert took < 1.5


def test_no_speed_keeps_a_body_open_for_ever(lenient: Served) -> None:
    answer, took = fed(lenient, 1_000_000, 1000)
    assert told(answer) == (408, "request_timeout")
    assert 1.8 < took < 5


def test_an_upload_that_drips_is_ended_and_holds_no_turn_of_a_page(
    lenient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body is read before its page has a turn: bytes that come singly keep nobody out."""
    turns = list[Any]()

    async def run(*arguments: Any) -> None:
        turns.append(arguments)

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        await bounded(None, scope, receive, send)

    monkeypatch.setattr(Visit, "run", run)
    with override_settings(BODY_TIMEOUT_S=1.0), serving(pages) as dripping:
        answer, took = fed(dripping, 1000, 1)
    assert told(answer) == (408, "request_timeout")
    assert 0.9 < took < 4
    assert not turns


def test_drop_by_drop_is_too_slow_as_well(served: Served) -> None:
    """Each byte comes well before the deadline; together they do not."""
    with served.connect() as client:
        began = time.monotonic()
        with pytest.raises(OSError):
            for byte in HEAD:
                client.send(bytes([byte]))
                time.sleep(0.1)
                client.socket.setblocking(False)
                try:
                    if client.socket.recv(1, 2) == b"H":  # MSG_PEEK: it has answered
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                client.socket.setblocking(True)
        assert time.monotonic() - began < 3


def test_between_requests_and_empty_lines(served: Served) -> None:
    """Empty lines before a request begin none, and keep no connection open."""
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert told(client.answer().replace(b"}", b', "error": {"code": ""}}')) == (200, "")
        time.sleep(0.1)
        answer, took = until_closed(client.send(b"\r\n"))
    assert took < 3
    assert told(answer) == (408, "request_timeout")


def test_an_idle_connection_ends_without_a_word(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer()
        answer, took = until_closed(client)
    assert answer == b""
    assert 0.25 < took < 3


def test_a_long_answer_is_not_cut(served: Served) -> None:
    with served.connect() as client:
        answer = client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest()
    assert answer.endswith(b"3\r\nend\r\n0\r\n\r\n")


def test_nor_is_one_whose_client_sends_the_next_request_meanwhile(served: Served) -> None:
    pipelined = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
    with served.connect() as client:
        client.send(pipelined + HEAD + b"\r\n")
        time.sleep(0.2)
        client.send(b"0123456789")
        answer = client.rest()
    assert b"end\r\n0\r\n\r\n" in answer
    assert b'"body": "0123456789"' in answer


def test_a_pipelined_body_has_its_deadline_when_its_turn_comes(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD + b"\r\n")
        answer, took = until_closed(client)
    assert 1 < took < 5
    _, _, last = answer.partition(b"end\r\n0\r\n\r\n")
    assert told(last) == (408, "request_timeout")


def test_the_rest_of_a_body_that_is_answered_already(served: Served) -> None:
    with served.connect() as client:
        client.send(HEAD.replace(b"/x", b"/quick") + b"\r\n1")
        answer, took = until_closed(client)
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.count(b"HTTP/1.1") == 1
    assert took < 4


def test_who_does_not_read_the_answer(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        assert served.connections == 1
        time.sleep(0.8)
        assert served.connections == 0


def test_who_reads_slowly_but_reads(served: Served) -> None:
    """20 MB take longer than the deadline; no pause is."""
    with served.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(b"GET /much HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        began, got = time.monotonic(), 0
        while piece := client.socket.recv(1_000_000):
            got += len(piece)
            behind = 1.5 * got / 20_000_000 - (time.monotonic() - began)
            time.sleep(max(0.0, behind))
    assert got > 20_000_000
    assert time.monotonic() - began > 1


@pytest.mark.parametrize("idle_s", [openai.DEFAULT_CONNECTION_LIMITS.keepalive_expiry, 60, 90])
def test_clients_close_idle_connections_first(idle_s: float) -> None:
    """OpenAI's SDK, nginx, Go: else a request may meet a connection that we are just closing."""
    assert idle_s + ConnectionLimit.TICK_S < KEEP_ALIVE_S
