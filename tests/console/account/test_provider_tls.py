"""An identity provider is believed by the authorities that all other hosts are believed by."""

import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from allauth.socialaccount.adapter import get_adapter

from tests.inference.api.grpc.certificates import Authority

pytestmark = pytest.mark.unit
Serve = Callable[..., str]


class Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve(authority: Authority) -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def begin(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, host: str = "localhost") -> str:
        signed = authority.sign("provider", host=host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.load_cert_chain(signed.certificate, signed.key)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"https://localhost:{server.server_address[1]}/"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(url: str) -> int:
    with get_adapter().get_requests_session() as session:
        return int(session.get(url).status_code)


def test_an_authority_of_ones_own_is_believed(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve()
    monkeypatch.delenv("FOREBAY_TLS_CA", raising=False)
    with pytest.raises(requests.exceptions.SSLError):
        ask(url)
    monkeypatch.setenv("FOREBAY_TLS_CA", str(authority.own.certificate))
    assert ask(url) == 200


def test_a_certificate_for_another_host_is_not(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_TLS_CA", str(authority.own.certificate))
    with pytest.raises(requests.exceptions.SSLError):
        ask(serve(host="elsewhere.example"))


def test_tls_1_2_is_refused_where_ours_is_1_3(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_TLS_CA", str(authority.own.certificate))
    url = serve(ssl.TLSVersion.TLSv1_2)
    monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.3")
    with pytest.raises(requests.exceptions.SSLError):
        ask(url)
    monkeypatch.setenv("FOREBAY_TLS_OUTGOING", "1.2")
    assert ask(url) == 200
