"""uvicorn as it is started with a certificate: TLS 1.3, the limits of before, and renewals."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websockets
from django.test import override_settings

from config.tls.authority import Authority, Files
from config.tls.handshake import secured
from config.tls.served_certificates import Served as Shown
from tests.config.stub_server import Client, Served, Stub
from tests.e2e.ask import eventually

pytestmark = pytest.mark.unit
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def serve(server: Files) -> Iterator[Callable[[], Served]]:
    started: list[Served] = []

    def begin() -> Served:
        shown = Shown("web", str(server.certificate), str(server.key))
        started.append(Served(Stub(), http=secured(shown.context)))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


def trusting(server: Files) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.certificate.with_name("ca.crt")))


def connected(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(made, server_hostname="localhost")


def test_requests_and_answers(serve: Callable[[], Served], server: Files) -> None:
    served = serve()
    with connected(served.port, trusting(server)) as made:
        assert made.version() == "TLSv1.3"
        client = Client(made)
        for _ in range(3):
            assert b'"path": "/a"' in client.send(GET).answer()
        assert served.connections == 1
    assert served.app.seen[0]["path"] == "/a"


def test_a_request_in_one_packet_with_the_handshake(
    serve: Callable[[], Served], server: Files
) -> None:
    served, into, out = serve(), ssl.MemoryBIO(), ssl.MemoryBIO()
    wrapped = trusting(server).wrap_bio(into, out, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as made:
        with pytest.raises(ssl.SSLWantReadError):
            wrapped.do_handshake()
        while True:
            made.sendall(out.read())
            into.write(made.recv(65536))
            try:
                wrapped.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        wrapped.write(GET)
        made.sendall(out.read())
        answer = b""
        while b'"path"' not in answer:
            try:
                answer += wrapped.read(65536)
            except ssl.SSLWantReadError:
                into.write(made.recv(65536))


def test_neither_older_versions_nor_clear_text(serve: Callable[[], Served], server: Files) -> None:
    served, older = serve(), trusting(server)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        connected(served.port, older)
    with served.connect() as client:
        assert not client.send(GET).rest().startswith(b"HTTP")
    assert served.app.seen == []


async def test_a_websocket(serve: Callable[[], Served], server: Files) -> None:
    url = f"wss://localhost:{serve().port}/"
    async with websockets.connect(url, ssl=trusting(server)) as opened:
        assert await asyncio.wait_for(opened.recv(), 10) == "hello"


def test_large_answers_and_streams(serve: Callable[[], Served], server: Files) -> None:
    served = serve()
    with connected(served.port, trusting(server)) as made:
        made.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert sum(map(len, iter(lambda: made.recv(65536), b""))) > 20_000_000
    with connected(served.port, trusting(server)) as made:
        made.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"end" in Client(made).rest()


def closed_by_server(made: socket.socket) -> bool:
    try:
        return made.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_never_agrees_has_a_deadline(serve: Callable[[], Served]) -> None:
    with override_settings(HEAD_TIMEOUT_S=1):
        served = serve()
        with served.connect() as silent:
            assert closed_by_server(silent.socket)


def test_who_never_agrees_counts(serve: Callable[[], Served], server: Files) -> None:
    """It also gives way to a connection that has agreed on TLS."""
    with override_settings(CONNECTIONS_PER_ADDRESS=2):
        served = serve()
        silent = [served.connect() for _ in range(2)]
        with connected(served.port, trusting(server)) as made:
            assert b'"path": "/a"' in Client(made).send(GET).answer()
            assert closed_by_server(silent[0].socket)
        silent[1].socket.close()
        # Whoever went away in the middle of the handshake is counted no more.
        for _ in range(4):
            with connected(served.port, trusting(server)) as made:
                assert b'"path": "/a"' in Client(made).send(GET).answer()
        silent[0].socket.close()


def test_a_renewal_holds_for_who_comes_then(
    serve: Callable[[], Served],
    authority: Authority,
    server: Files,
    look_now: Callable[[], None],
) -> None:
    served, trust = serve(), trusting(server)
    look_now()
    with connected(served.port, trust) as before:
        first = before.getpeercert(binary_form=True)
        authority.reissue("server")
        with connected(served.port, trust) as after:
            assert after.getpeercert(binary_form=True) != first
        assert b'"path": "/a"' in Client(before).send(GET).answer(), "who is there stays"


def test_half_a_renewal_stops_nobody(
    serve: Callable[[], Served], server: Files, look_now: Callable[[], None], tmp_path: Path
) -> None:
    served, trust = serve(), trusting(server)
    look_now()
    server.key.write_text("half")
    with connected(served.port, trust) as made:
        body = Client(made).send(GET).answer().partition(b"\r\n\r\n")[2]
        assert json.loads(body)["path"] == "/a"


def test_connections_are_forgotten(serve: Callable[[], Served], server: Files) -> None:
    served = serve()
    for _ in range(3):
        with connected(served.port, trusting(server)) as made:
            Client(made).send(GET).answer()
        served.connect().socket.close()
        with served.connect() as plain:
            plain.send(GET).rest()
    eventually(lambda: served.crowd == 0, 10)
