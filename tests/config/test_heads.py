"""Heads that two readers may understand differently are refused before anybody acts on them."""

import json
from collections.abc import Iterator

import pytest

from tests.config.stub_server import Client, Served, Stub, serving

pytestmark = pytest.mark.unit
TWICE = """Host: a
Content-Length: 2
Transfer-Encoding: chunked
Content-Type: application/json
Content-Encoding: gzip
Authorization: Bearer sk-fb-2
X-Api-Key: sk-fb-2
Api-Key: sk-fb-2
Idempotency-Key: 2
Last-Event-ID: 2
Origin: https://b.test
X-CSRFToken: b
X-Forebay-Class: batch
X-Forebay-Cache: use""".splitlines()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Stub()) as found:
        yield found


def refusal(client: Client, head: str) -> str:
    head_of_answer, _, body = client.send(head.encode()).rest().partition(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 400"), head_of_answer
    assert b"connection: close" in head_of_answer
    return str(json.loads(body)["error"]["message"])


@pytest.mark.parametrize("line", TWICE)
def test_a_header_that_may_stand_once_is_refused_where_it_stands_twice(
    served: Served, line: str
) -> None:
    name, _, value = line.partition(": ")
    other = f"{name.upper()}: {value}"
    host = "" if name == "Host" else "Host: a\r\n"
    with served.connect() as client:
        said = refusal(client, f"POST / HTTP/1.1\r\n{host}{line}\r\n{other}\r\n\r\n")
    assert "twice" in said or "Invalid HTTP request" in said


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_request_of_http_1_1_names_its_host(served: Served, method: str) -> None:
    with served.connect() as client:
        said = refusal(client, f"{method} / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    assert said == "a request of HTTP/1.1 must have a Host header"


def test_nor_does_a_websocket_begin_with_such_a_head(served: Served) -> None:
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    for lines in ("", "Host: a\r\nHost: b\r\n", "Host: a\r\nOrigin: x\r\nOrigin: y\r\n"):
        with served.connect() as client:
            refusal(client, f"GET /ws HTTP/1.1\r\n{lines}{upgrade}\r\n")


def test_all_other_heads_are_read_as_ever(served: Served) -> None:
    many = (
        "Accept: a\r\nAccept: b\r\nX-Forwarded-For: 1\r\nX-Forwarded-For: 2\r\nVia: c\r\nVia: d\r\n"
    )
    with served.connect() as client:
        answer = client.send(f"GET /1 HTTP/1.1\r\nHost: a\r\n{many}\r\n".encode()).answer()
        assert b'"path": "/1"' in answer
        assert b'"path": "/2"' in client.send(b"GET /2 HTTP/1.0\r\n\r\n").rest()


def test_what_stands_behind_a_refused_head_is_no_request(served: Served) -> None:
    with served.connect() as client:
        behind = "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = client.send(f"GET / HTTP/1.1\r\n\r\n{behind}".encode()).rest()
    assert answer.count(b"x-request-id") == 1
    assert b"secret" not in answer
