"""`forebay check` reports ports while a platform runs, and while another program has them."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from config.command.checks import ports
from tests.inference.api.grpc.certificates import Authority

pytestmark = pytest.mark.unit


@pytest.fixture
def server() -> Iterator[grpc.Server]:
    server = grpc.server(ThreadPoolExecutor(1))
    yield server
    server.stop(None).wait()


def grpc_state(patch: pytest.MonkeyPatch, port: int) -> str:
    patch.setenv("FOREBAY_GRPC_PORT", str(port))
    (finding,) = [each for each in ports.findings() if each.subject == "gRPC port"]
    return finding.state


@pytest.mark.parametrize("transport", ["clear", "TLS", "mTLS"])
def test_a_grpc_server_that_runs_already_is_no_fault(
    server: grpc.Server, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if transport == "clear":
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials(tmp_path, transport == "mTLS"))
    server.start()
    assert grpc_state(monkeypatch, port) == "ok"


def credentials(folder: Path, asks_for_certificates: bool) -> grpc.ServerCredentials:
    authority = Authority(folder)
    signed = authority.sign("server")
    pair = signed.key.read_bytes(), signed.certificate.read_bytes()
    if not asks_for_certificates:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials(
        [pair], authority.own.certificate.read_bytes(), require_client_auth=True
    )


def test_a_port_that_something_else_has_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as stranger:
        assert grpc_state(monkeypatch, stranger.getsockname()[1]) == "fail"
