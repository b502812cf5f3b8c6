"""An answer that fails after its head: a stream ends with an error, a file ends too early."""

from typing import Any

import pytest

from inference.api.http.request import Request
from inference.api.http.route_table import Route
from inference.api.http.router import ErrorWriter, Router
from inference.errors import ApiError
from tests.config.stub_server import serving

pytestmark = pytest.mark.unit
GET = b"GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n\r\n"
ERRORS = ErrorWriter(ApiError.body, lambda error: b"data: " + error.body())


def broken(headers: list[tuple[bytes, bytes]]) -> Any:
    """Returns an application whose answer has these headers and breaks off after one piece."""

    async def view(request: Request) -> None:
        await request.start(200, headers)
        await request.write(b"first")
        raise OSError("the store is away")

    router = Router(lambda path: Route(path, {"GET": view}), lambda path: True, ERRORS)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await router({**scope, "state": {"context": None}}, receive, send)

    return app


def test_a_stream_ends_with_an_error() -> None:
    answer = wire_answer([(b"content-type", b"text/event-stream")], b"close")
    assert b"first" in answer
    assert b'data: {"error"' in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")


def test_an_error_is_no_part_of_a_file() -> None:
    """Its length tells the client that it is not whole, and the server ends the connection."""
    assert wire_answer([(b"content-length", b"1000")], b"keep-alive").endswith(b"\r\n\r\nfirst")


def wire_answer(headers: list[tuple[bytes, bytes]], connection: bytes) -> bytes:
    with serving(broken(headers)) as server, server.connect() as client:
        return client.send(GET % connection).rest()
