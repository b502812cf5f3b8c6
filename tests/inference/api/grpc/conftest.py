"""The server with one method that gives back what it gets, on a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from inference.api.grpc.server import Server
from tests.inference.api.grpc.certificates import Authority

ECHO = "/test.Echo/Echo"
Serve = Callable[..., Awaitable[str]]


async def echo(request: bytes, _: Any) -> bytes:
    return request


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(ECHO)


@pytest.fixture
async def started() -> AsyncIterator[list[Server]]:
    """By `serve`."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        await server.stop(0)


@pytest.fixture
def serve(started: list[Server]) -> Serve:
    """Starts a server; its address."""

    async def start(
        credentials: grpc.ServerCredentials | None = None, answer: Any = echo, **options: Any
    ) -> str:
        methods: Any = {"Echo": grpc.unary_unary_rpc_method_handler(answer)}
        handler = grpc.method_handlers_generic_handler("test.Echo", methods)
        bounds = {"largest": 64 * 1024, "grace_s": 1, "connections": 100, **options}
        server = Server([handler], ["test.Echo"], **bounds)
        port = server.listen("127.0.0.1:0", credentials)
        await server.start()
        server.works(well=True)
        started.append(server)
        return f"127.0.0.1:{port}"

    return start


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
