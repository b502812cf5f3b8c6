"""An `Idempotency-Key` belongs to the client's own body, in each front end's form."""

from typing import Any

import httpx
import pytest

HI = [{"role": "user", "content": "hi"}]
RESPONSE: dict[str, Any] = {"model": "small", "input": "hi"}
MESSAGE: dict[str, Any] = {"model": "small", "messages": HI, "max_tokens": 9}
CHAT: dict[str, Any] = {"model": "small", "messages": HI, "stream": False}


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/responses", RESPONSE, {"store": False}),
        ("/v1/responses", RESPONSE, {"background": True}),
        ("/v1/responses", RESPONSE, {"metadata": {"order": "2"}}),
        ("/v1/messages", MESSAGE, {"thinking": {"type": "adaptive", "display": "omitted"}}),
        ("/api/chat", CHAT, {"keep_alive": "5m"}),
    ],
)
async def test_what_the_engine_does_not_see_counts(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    headers = {"idempotency-key": f"{path} {other}"}
    first = await client.post(path, json=body, headers=headers)
    assert first.status_code == 200, first.text
    again = await client.post(path, json=body, headers=headers)
    assert again.headers["x-forebay-replayed"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    refused = await client.post(path, json=body | other, headers=headers)
    assert refused.status_code == 422, refused.text
    assert "idempotency_key_reused" in refused.text
