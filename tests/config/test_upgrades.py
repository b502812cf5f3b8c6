"""A wish to upgrade to HTTP/2 is ignored, not the body behind it. HTTP/1.0 gets no chunks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.config.stub_server import Served, Stub, serving

pytestmark = pytest.mark.unit
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Stub()) as found:
        yield found


def read(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return dict(json.loads(body))


@pytest.mark.parametrize("pieces", [1, 2, 400])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 11\r\n\r\nhello there",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nthere\r\n0\r\n\r\n",
    ],
)
def test_the_body_is_kept(served: Served, body: bytes, pieces: int) -> None:
    """Java's HttpClient and `curl --http2` send one with an upgrade."""
    request = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n" + UPGRADE + body
    size = -(-len(request) // pieces)
    with served.connect() as client:
        for _ in range(2):  # and the connection can be used again
            for start in range(0, len(request), size):
                client.send(request[start : start + size])
            said = read(client.answer())
            assert (said["method"], said["path"], said["body"]) == ("POST", "/v1/x", "hello there")
            assert {"host", "x-one"} <= set(said["headers"])
            assert not {"upgrade", "http2-settings"} & set(said["headers"])


def test_one_without_a_body_and_more_behind_it(served: Served) -> None:
    get = b"GET /%d HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n"
    with served.connect() as client:
        client.send(get % 1 + get % 2 + b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = client.rest()
    assert [answers.count(b'"path": "/%d"' % n) for n in (1, 2, 3)] == [1, 1, 1]


def test_close_is_still_heard(served: Served) -> None:
    upgrade = UPGRADE.replace(b"Upgrade, ", b"close, Upgrade, ")
    with served.connect() as client:
        answer = client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n").rest()
    assert b"connection: close" in answer
    read(answer)


def test_a_tunnel_is_refused(served: Served) -> None:
    with served.connect() as client:
        answer = client.send(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").rest()
    assert answer.startswith(b"HTTP/1.1 400")


def test_http_1_0_gets_no_chunks(served: Served) -> None:
    with served.connect() as client:
        answer = client.send(b"GET /stream HTTP/1.0\r\n\r\n").rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == b"0;1;2;3;4;5;6;7;end"


def test_http_1_0_with_a_length(served: Served) -> None:
    with served.connect() as client:
        answer = client.send(b"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").rest()
    assert read(answer)["body"] == "hi"
    assert b"content-length" in answer
