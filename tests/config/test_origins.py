"""A page opens the chat's websocket only where it is this platform's own."""

from typing import Any

import pytest

from config.http.origins import FromOwnPages, is_own, own_origins

pytestmark = pytest.mark.unit
LOCAL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("public_url", "further", "own"),
    [
        (LOCAL, [], ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"]),
        ("http://0.0.0.0:8000", [], ["http://localhost:8000", "http://127.0.0.1:8000"]),
        ("http://[::]:8000", [], ["http://[::1]:8000", "http://127.0.0.1:8000"]),
        ("http://10.0.0.7:8000", [], ["http://10.0.0.7:8000"]),
        ("https://llm.example.com", [], ["https://llm.example.com"]),
        ("https://llm.example.com:443", [], ["https://llm.example.com"]),
        ("https://LLM.example.com:8443/x", ["gpu.lan"], ["https://llm.example.com:8443"]),
        ("https://llm.example.com:8443", ["gpu.lan"], ["https://gpu.lan:8443"]),
        ("https://llm.example.com", [".example.org"], ["https://a.b.example.org"]),
        ("https://llm.example.com", [".example.org"], ["https://example.org"]),
    ],
)
def test_the_platforms_own(public_url: str, further: list[str], own: list[str]) -> None:
    assert all(is_own(origin, own_origins(public_url, further)) for origin in own)


@pytest.mark.parametrize(
    ("public_url", "further", "origin"),
    [
        (LOCAL, [], "http://127.0.0.1:9999"),  # another port of the same machine
        (LOCAL, [], "http://localhost"),
        (LOCAL, [], "https://localhost:8000"),
        (LOCAL, [], "http://127.0.0.2:8000"),
        (LOCAL, [], "http://evil.example:8000"),
        (LOCAL, [], "null"),
        (LOCAL, [], ""),
        (LOCAL, ["*"], "http://evil.example:8000"),
        ("https://llm.example.com", [], "http://llm.example.com"),
        ("https://llm.example.com", [], "https://llm.example.com:8443"),
        ("https://llm.example.com", [], "http://localhost:8000"),
        ("https://llm.example.com", [], "https://localhost"),
        ("https://llm.example.com", [], "https://evil.llm.example.com"),
        ("https://llm.example.com", [".example.org"], "https://evilexample.org"),
        ("https://llm.example.com", [".example.org"], "https://a.example.org:8443"),
    ],
)
def test_everything_else(public_url: str, further: list[str], origin: str) -> None:
    assert not is_own(origin, own_origins(public_url, further))


@pytest.mark.parametrize(
    ("origins", "let_in"),
    [
        ([b"http://localhost:8000"], True),
        ([b"http://localhost:9000"], False),
        ([b"http://localhost:99999999"], False),
        ([b"http://localhost:8000", b"http://evil.example"], False),
        ([], False),
    ],
)
async def test_who_is_let_in(origins: list[bytes], let_in: bool) -> None:
    reached: list[Any] = []
    said: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.disconnect" if said else "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    scope = {"type": "websocket", "headers": [(b"origin", origin) for origin in origins]}
    guarded = FromOwnPages(application, own_origins(LOCAL, []))
    await guarded(scope, receive, send)
    assert bool(reached) == let_in
    assert said == ([] if let_in else ["websocket.close"])
