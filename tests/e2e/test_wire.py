"""What clients of other platforms send, over real sockets."""

import gzip
import json
import socket

import httpx
import pytest

from tests.e2e.ask import body, client
from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e


def raw(platform: Platform, lines: list[str], sent: bytes = b"") -> bytes:
    """The answer to a request as it stands, until the server closes."""
    head = "\r\n".join([*lines, f"Authorization: Bearer {platform.key}", "", ""])
    with socket.create_connection(("127.0.0.1", platform.port), timeout=20) as connection:
        connection.sendall(head.encode() + sent)
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_javas_client_wants_http_2_and_is_answered(staged: Platform) -> None:
    sent = json.dumps(body(max_tokens=2)).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade, HTTP2-Settings, close",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        "Content-Type: application/json",
        f"Content-Length: {len(sent)}",
    ]
    answer = raw(staged, lines, sent)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"usage"' in answer


def test_http_1_0_streams_without_chunks(staged: Platform) -> None:
    sent = json.dumps(body(max_tokens=3, stream=True)).encode()
    lines = ["POST /v1/chat/completions HTTP/1.0", f"Content-Length: {len(sent)}"]
    head, _, answer = raw(staged, lines, sent).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert answer.startswith(b"id: 1\ndata: {")
    assert answer.endswith(b"data: [DONE]\n\n")


def test_completions_have_openais_default(staged: Platform, mock: Mock) -> None:
    with client(staged) as asking:
        answer = asking.post("/v1/completions", json={"model": "mock", "prompt": "hi"})
        assert (answer.status_code, mock.last_body()["max_tokens"]) == (200, 16)
        asking.post("/completions", json={"model": "mock", "prompt": "hi", "max_tokens": 20})
        assert mock.last_body()["max_tokens"] == 20
        asking.post("/chat/completions", json=body())
        assert "max_tokens" not in mock.last_body()


def test_what_is_refused_by_a_quota_tells_its_limits_too(staged: Platform) -> None:
    staged.manage("create_tenant", "broke", "--quota", "requests/day=1", "--json")
    made = json.loads(staged.manage("create_api_key", "broke", "--name", "x", "--json"))
    with client(staged, made["api_key"]) as asking:
        for status in (200, 429, 429):
            answer = asking.post("/v1/chat/completions", json=body(max_tokens=2))
            assert answer.status_code == status
            assert answer.headers["x-request-id"]
            assert int(answer.headers["x-ratelimit-limit-requests"]) > 0
        assert answer.headers["x-ratelimit-scope"] == "quota"
        assert len(answer.headers.get_list("x-ratelimit-scope")) == 1


def test_a_packed_request_is_answered(staged: Platform) -> None:
    packed = gzip.compress(json.dumps(body(max_tokens=2)).encode(), mtime=0)
    with client(staged) as asking:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        assert asking.post("/chat/completions", content=packed, headers=headers).status_code == 200


def test_probes_of_other_servers(staged: Platform) -> None:
    assert httpx.get(f"{staged.url}/health").status_code == 200
    assert httpx.head(f"{staged.url}/health").status_code == 200
    ready = httpx.get(f"{staged.url}/readyz").json()
    assert set(ready["checks"]) <= {"database", "redis", "engines"}
