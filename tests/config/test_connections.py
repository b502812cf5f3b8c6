"""Too many connections: those that do nothing give way, and others do not notice."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
import uvicorn
from django.test import override_settings
from uvicorn.server import ServerState
from websockets.sync.client import connect as websocket

from config.http.bounded_http import Bounded
from tenants.rate_limits.proxies import Proxies
from tests.config.stub_server import Client, Served, Stub, request_id, serving

pytestmark = pytest.mark.unit
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HALF = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Four connections of an address, six in all."""
    with override_settings(CONNECTIONS_PER_ADDRESS=4, CONNECTIONS=6), serving(Stub()) as found:
        yield found


@pytest.fixture
def clients(served: Served) -> Iterator["Clients"]:
    with contextlib.ExitStack() as stack:
        yield Clients(served, stack)
    _eventually(lambda: served.connections == 0)


class Clients:
    def __init__(self, served: Served, stack: contextlib.ExitStack) -> None:
        self._served, self._stack = served, stack

    def new(self, sent: bytes = b"", address: str = "127.0.0.1") -> Client:
        client = self._stack.enter_context(self._served.connect(address)).send(sent)
        time.sleep(0.02)  # so that the server sees them in this order
        return client


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def is_open(client: Client) -> bool:
    client.socket.settimeout(0.1)
    try:
        return client.socket.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_who_has_waited_longest_gives_way(clients: Clients) -> None:
    first, second, *others = [clients.new() for _ in range(4)]
    assert status(clients.new(GET).answer()) == 200
    assert not is_open(first)
    assert all(map(is_open, [second, *others]))


def test_who_gives_way_in_mid_request_is_told(clients: Clients) -> None:
    half = clients.new(HALF)
    for _ in range(4):
        clients.new()
    answer = half.rest()
    assert status(answer) == 503
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_many_connections"
    assert b"retry-after: 1\r\n" in answer
    assert request_id(answer).version == 4


def test_who_waits_for_an_answer_stays_and_the_newcomer_is_refused(clients: Clients) -> None:
    busy = [clients.new(STREAM) for _ in range(4)]
    refused = clients.new(GET)
    answer = refused.rest()
    assert status(answer) == 503
    assert b"too_many_connections" in answer
    assert request_id(answer).version == 4
    elsewhere = clients.new(GET, "127.0.0.2")  # another address has room
    assert status(elsewhere.answer()) == 200
    assert all(b"end" in client.rest() for client in busy)


def test_idle_ones_give_way_too_and_are_counted_once_they_are_gone(clients: Clients) -> None:
    idle = [clients.new(GET) for _ in range(4)]
    assert {status(client.answer()) for client in idle} == {200}
    assert status(clients.new(GET).answer()) == 200
    assert [is_open(client) for client in idle] == [False, True, True, True]


def test_all_addresses_together(clients: Clients) -> None:
    first = clients.new(b"", "127.0.0.2")
    others = [clients.new(b"", f"127.0.0.{n}") for n in range(3, 8)]
    assert status(clients.new(GET, "127.0.0.8").answer()) == 200
    assert not is_open(first)
    assert all(map(is_open, others))


def test_a_websocket_counts_until_it_ends(served: Served, clients: Clients) -> None:
    url = f"ws://127.0.0.1:{served.port}/"
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            assert stack.enter_context(websocket(url)).recv() == "hello"
        assert status(clients.new(GET).rest()) == 503
    _eventually(lambda: served.connections == 0)
    assert status(clients.new(GET).answer()) == 200


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("POST / HTTP/1.1", ""),
        ("GET / HTTP/1.1", ""),
        ("GET / HTTP/1.1", "Content-Length: 5\r\n"),
        ("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
        ("GET / HTTP/1.1", "".join(f"X-{n}: 1\r\n" for n in range(200))),
        ("GET / HTTP/1.1", f"X-Long: {'x' * 20_000}\r\n"),
    ],
)
def test_a_websocket_that_cannot_begin_is_not_kept(clients: Clients, line: str, more: str) -> None:
    head = f"{line}\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{more}\r\n"
    assert status(clients.new(head.encode()).rest()) in (400, 405)


def test_the_connections_of_a_named_proxy_are_not_one_clients() -> None:
    limits = {"CONNECTIONS": 0, "CONNECTIONS_PER_ADDRESS": 2, "WEB_PROXIES": Proxies("127.0.0.1")}
    with override_settings(**limits), serving(Stub()) as served, contextlib.ExitStack() as stack:
        clients = Clients(served, stack)
        waiting = [clients.new() for _ in range(6)]
        assert status(clients.new(GET).answer()) == 200
        assert all(map(is_open, waiting))


def test_other_addresses_are_counted_beside_a_proxy() -> None:
    limits = {"CONNECTIONS": 0, "CONNECTIONS_PER_ADDRESS": 2, "WEB_PROXIES": Proxies("10.0.0.1")}
    with override_settings(**limits), serving(Stub()) as served, contextlib.ExitStack() as stack:
        clients = Clients(served, stack)
        waiting = [clients.new() for _ in range(6)]
        assert status(clients.new(GET).answer()) == 200
        assert sum(map(is_open, waiting)) == 1


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: a\r\n", HALF])
def test_two_thousand_that_do_nothing(sent: bytes) -> None:
    """Those of other addresses, and even of the same one, are answered as if nothing was."""
    limits = {"CONNECTIONS": 1200, "CONNECTIONS_PER_ADDRESS": 1000, "HEAD_TIMEOUT_S": 60}
    with (
        override_settings(**limits),
        serving(Stub()) as served,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(2000):
            with contextlib.suppress(OSError):  # it has given way already
                stack.enter_context(served.connect()).send(sent)
        _eventually(lambda: served.connections == 1000)
        for address in ["127.0.0.1"] * 20 + ["127.0.0.2"] * 50:
            with served.connect(address) as client:
                assert status(client.send(GET).answer()) == 200
        assert served.connections > 900
        stack.close()
        _eventually(lambda: served.connections == 0)


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Stuck:
    """A transport whose client does not read: closing it takes until somebody gives up."""

    def __init__(self) -> None:
        self.written = list[bytes]()
        self.closing = False

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


async def test_who_was_told_something_else_gives_way_quietly() -> None:
    config = uvicorn.Config(Stub(), lifespan="off", log_level="warning")
    config.load()
    connection, transport = Bounded(config, ServerState(), {}), Stuck()
    connection.connection_made(cast("asyncio.Transport", transport))
    connection.data_received(b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(b"".join(transport.written)) == 400
    connection.give_way()
    assert len(transport.written) == 1
