"""Keys in places where they do not belong: none comes back in an error, or ends up in a log."""

import secrets
from pathlib import Path

import httpx

from tenants import secret_keys
from tests.e2e.conftest import Platform

PATHS = ("/v1/chat/completions", "/v1/models", "/v1/nothing", "/api/v1/me/", "/login/", "/nothing/")


def canaries() -> list[str]:
    """A well-formed key that opens nothing, one with a typo, and a stranger's kind of secret."""
    good = secret_keys.mint().text
    return [good, good[:-1] + ("a" if good[-1] != "a" else "b"), f"sk-{secrets.token_hex(24)}"]


def test_no_key_is_told_or_logged(staged: Platform) -> None:
    planted = canaries()
    answers: list[httpx.Response] = []
    with httpx.Client(base_url=staged.url, timeout=30) as client:
        for key in planted:
            for path in PATHS:
                answers += _asked(client, path, key)
    assert {answer.status_code for answer in answers} & {401, 404}
    told = [answer.url.path for answer in answers if _told(answer, planted)]
    assert not told
    logs = sorted(Path(staged.home).glob("**/logs/*.log"))
    assert {"web.log"} <= {log.name for log in logs}
    for log in logs:
        text = log.read_text(errors="replace")
        assert not [key for key in planted if key in text], log.name


def _asked(client: httpx.Client, path: str, key: str) -> list[httpx.Response]:
    bearer, body = {"authorization": f"Bearer {key}"}, {"model": key, "messages": key, "key": key}
    return [
        client.get(path, headers=bearer),
        client.post(path, headers=bearer, json=body),
        client.post(path, headers={"x-api-key": key}, content=f'{{"broken": "{key}'),
        client.post(path, data={"username": key, "password": key}),
        client.get(path, params={"api_key": key}),
        client.get(path, headers={"cookie": f"forebay_session={key}"}),
        client.get(f"{path.rstrip('/')}/{key}/"),
        client.request("PATCH", path, headers=bearer, content=key),
    ]


def _told(answer: httpx.Response, planted: list[str]) -> bool:
    return any(key in answer.text or key in str(answer.headers) for key in planted)
