"""The prober tells apart TLS 1.3 alone, older TLS, clear text and nobody."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from config.supervisor.ports import find_free
from console.compliance.checks.transport import ports
from console.compliance.tls_probe import Port, probe, probe_all
from tests.inference.api.grpc.certificates import Authority

pytestmark = pytest.mark.unit
Serve = Callable[[ssl.SSLContext | None], int]
ANSWER = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Stub:
    """Answers whatever it is told, one after the other."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context, self._is_over = context, False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                if self._is_over:
                    return
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self._context is None:
            connection.recv(1000)
            connection.sendall(ANSWER)
            return
        with self._context.wrap_socket(connection, server_side=True) as agreed:
            agreed.recv(1000)
            agreed.sendall(ANSWER)

    def stop(self) -> None:
        self._is_over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listening.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    stubs: list[Stub] = []

    def begin(context: ssl.SSLContext | None) -> int:
        stubs.append(Stub(context))
        return stubs[-1].port

    yield begin
    for stub in stubs:
        stub.stop()


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
        found = ports(None)
    assert found.problem == "not_tls13"
    assert "web: TLS ≤ 1.2" in found.figures["found"]
    assert "127.0.0.1:" not in str(found.figures), "tenants see no addresses"
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with override_settings(**own, PORT=old, TLS_CERTIFICATE="/server.crt"):
        found = ports(None)
    assert found.problem == ""
    assert found.figures["ports_tls13"] == 2, "at its address and at the public one"
    clear = serve(None)
    own["PUBLIC_URL"] = f"http://127.0.0.1:{clear}"
    with override_settings(**own, PORT=clear, TLS_CERTIFICATE=""):
        assert ports(None).problem == "", "that there is no TLS at all, another check says"
    with override_settings(**own, PORT=clear, TLS_CERTIFICATE="/server.crt"):
        assert ports(None).problem == "not_tls13"
