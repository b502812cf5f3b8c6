"""The server with one method that gives back what it gets, on a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from inference.api.grpc.server import Server
from tests.grpc.certificates import Authority

ECHO = "/test.Echo/Echo"
Serve = Callable[..., Awaitable[str]]


async def echo(request: bytes, _: Any) -> bytes:
    return request


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(ECHO)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server; its address."""
    started: list[Server] = []

    async def start(
        credentials: grpc.ServerCredentials | None = None, answer: Any = echo, **options: Any
    ) -> str:
        methods: Any = {"Echo": grpc.unary_unary_rpc_method_handler(answer)}
        handler = grpc.method_handlers_generic_handler("test.Echo", methods)
        server = Server([handler], ["test.Echo"], **{"largest": 64 * 1024, "grace_s": 1, **options})
        port = server.listen("127.0.0.1:0", credentials)
        await server.start()
        await server.works(well=True)
        started.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in started:
        await server.stop(0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
