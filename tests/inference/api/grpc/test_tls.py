"""TLS 1.3 and nothing older; by option only clients that show who they are."""

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from config.environment import PROJECT
from inference.api.grpc.server import Secrets, credentials
from tests.inference.api.grpc.certificates import Authority, Signed
from tests.inference.api.grpc.conftest import Serve, echo_of

pytestmark = pytest.mark.unit


def secrets(signed: Signed, clients: Signed | None = None) -> Secrets:
    pair = signed.certificate.read_bytes(), signed.key.read_bytes()
    return Secrets(*pair, clients.certificate.read_bytes() if clients else None)


def of_server(authority: Authority, *, mutual: bool = False) -> grpc.ServerCredentials:
    found = secrets(authority.sign("server"), authority.own if mutual else None)
    return credentials(lambda: found)


async def asked(address: str, authority: Authority, client: Signed | None = None) -> bytes:
    own = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
    trusted = grpc.ssl_channel_credentials(authority.own.certificate.read_bytes(), *own)
    async with grpc.aio.secure_channel(address, trusted) as channel:
        answer: bytes = await echo_of(channel)(b"hello", timeout=5)
        return answer


def agreed(address: str, authority: Authority, newest: ssl.TLSVersion) -> str | None:
    """The version of TLS. Raises OSError where there is none."""
    context = ssl.create_default_context(cafile=str(authority.own.certificate))
    context.set_alpn_protocols(["h2"])
    context.maximum_version = newest
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.version()


async def test_a_client_that_trusts_the_authority(serve: Serve, authority: Authority) -> None:
    address = await serve(of_server(authority))
    assert await asked(address, authority) == b"hello"


def test_tls_1_3_and_nothing_older(authority: Authority) -> None:
    """In a process that inherits nothing of what gRPC reads, as this one has set it by now."""
    inherited = {name: each for name, each in os.environ.items() if not name.startswith("GRPC_")}
    signed = authority.sign("server")
    command = [
        sys.executable,
        "-m",
        "tests.inference.api.grpc.secured",
        str(signed.certificate),
        str(signed.key),
    ]
    with subprocess.Popen(
        command, cwd=PROJECT, env=inherited, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            address = f"127.0.0.1:{process.stdout.readline().strip()}"
            assert agreed(address, authority, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
            with pytest.raises(OSError):
                agreed(address, authority, ssl.TLSVersion.TLSv1_2)
        finally:
            process.kill()


async def test_no_answer_in_clear(serve: Serve, authority: Authority) -> None:
    async with grpc.aio.insecure_channel(await serve(of_server(authority))) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await echo_of(channel)(b"hello", timeout=5)
    assert problem.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_clients_with_a_certificate(serve: Serve, authority: Authority) -> None:
    address = await serve(of_server(authority, mutual=True))
    assert await asked(address, authority, authority.sign("client")) == b"hello"


async def test_a_client_without_one_or_with_a_strangers(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    address = await serve(of_server(authority, mutual=True))
    stranger = Authority(tmp_path, "stranger").sign("mallory")
    for client in (None, stranger):
        with pytest.raises(grpc.aio.AioRpcError) as problem:
            await asked(address, authority, client)
        assert problem.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_renewal_holds_for_who_comes_then(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    new = Authority(tmp_path, "new")
    current = secrets(authority.sign("server"), authority.own)
    address = await serve(credentials(lambda: current))
    client, later = authority.sign("client"), new.sign("later")
    assert await asked(address, authority, client) == b"hello"
    current = secrets(new.sign("renewed"), new.own)
    assert await asked(address, new, later) == b"hello"
    with pytest.raises(grpc.aio.AioRpcError):
        await asked(address, new, client)
