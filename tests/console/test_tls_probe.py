"""The prober tells apart TLS 1.3 alone, older TLS, clear text and nobody."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from config.supervisor.ports import find_free
from console.compliance.checks.transport import _ports
from console.compliance.tls_probe import Port, probe, probe_all
from tests.inference.api.grpc.certificates import Authority

pytestmark = [
    pytest.mark.unit,
    # The stubs have not closed all when they end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
Serve = Callable[[ssl.SSLContext | None], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Each answers whatever it is told."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[asyncio.Server] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1000)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

    def begin(context: ssl.SSLContext | None) -> int:
        starting = asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield begin
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    signed = Authority(tmp_path).sign("server")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(signed.certificate, signed.key)
    return made


def seen(port: int) -> str:
    return probe(Port("it", "127.0.0.1", port))


def test_tls_1_3_alone(serve: Serve, context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert seen(serve(context)) == "tls13"


def test_one_that_takes_tls_1_2_as_well(serve: Serve, context: ssl.SSLContext) -> None:
    assert seen(serve(context)) == "older_tls"


def test_clear_text_and_nobody(serve: Serve) -> None:
    assert seen(serve(None)) == "clear"
    assert seen(find_free()) == "away"


def test_one_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.compliance.tls_probe.PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert probe_all([Port("it", "127.0.0.1", port)]) == {"it": "away"}


def test_what_the_compliance_page_shows(serve: Serve, context: ssl.SSLContext) -> None:
    old = serve(context)
    own = {"HOST": "127.0.0.1", "PUBLIC_URL": f"https://127.0.0.1:{old}", "GRPC_PORT": 0}
    with override_settings(**own, PORT=old, TLS_CERTIFICATE="/server.crt"):
        found = _ports(None)
    assert found.problem == "not_tls13"
    assert "web: TLS ≤ 1.2" in found.figures["found"]
    assert "127.0.0.1:" not in str(found.figures), "tenants see no addresses"
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with override_settings(**own, PORT=old, TLS_CERTIFICATE="/server.crt"):
        found = _ports(None)
    assert found.problem == ""
    assert found.figures["ports_tls13"] == 2, "at its address and at the public one"
    clear = serve(None)
    own["PUBLIC_URL"] = f"http://127.0.0.1:{clear}"
    with override_settings(**own, PORT=clear, TLS_CERTIFICATE=""):
        assert _ports(None).problem == "", "that there is no TLS at all, another check says"
    with override_settings(**own, PORT=clear, TLS_CERTIFICATE="/server.crt"):
        assert _ports(None).problem == "not_tls13"
