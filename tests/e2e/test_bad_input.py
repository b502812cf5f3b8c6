"""Bad input gets a clear error that says what to do."""

from typing import Any

import httpx
import pytest

from tests.e2e.ask import HI, Record, body, client
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e

BAD_BODIES: list[tuple[str, Any, int, str, str | None]] = [
    ("/v1/chat/completions", b"{not json", 400, "invalid_json", None),
    ("/v1/chat/completions", b"", 400, "invalid_json", None),
    ("/v1/chat/completions", b"[1, 2]", 400, "invalid_json", None),
    ("/v1/chat/completions", b"\xff\xfe", 400, "invalid_json", None),
    ("/v1/chat/completions", {}, 400, "invalid_request", "model"),
    ("/v1/chat/completions", {"model": 7, "messages": HI}, 400, "invalid_request", "model"),
    ("/v1/chat/completions", {"model": "gpt-9", "messages": HI}, 404, "model_not_found", "model"),
    ("/v1/chat/completions", {"model": "mock"}, 400, "invalid_request", "messages"),
    ("/v1/chat/completions", body(messages=[]), 400, "invalid_request", "messages"),
    ("/v1/chat/completions", body(messages="hi"), 400, "invalid_request", "messages"),
    ("/v1/chat/completions", body(messages=["hi"]), 400, "invalid_request", "messages[0]"),
    (
        "/v1/chat/completions",
        body(messages=[{"role": "boss", "content": "hi"}]),
        400,
        "invalid_request",
        "messages[0].role",
    ),
    (
        "/v1/chat/completions",
        body(messages=[*HI, {"role": "user", "content": []}]),
        400,
        "invalid_request",
        "messages[1].content",
    ),
    ("/v1/chat/completions", body(max_tokens=-1), 400, "invalid_request", "max_tokens"),
    ("/v1/chat/completions", body(max_tokens=0), 400, "invalid_request", "max_tokens"),
    ("/v1/chat/completions", body(max_tokens=10**9), 400, "invalid_request", "max_tokens"),
    ("/v1/chat/completions", body(max_tokens="9"), 400, "invalid_request", "max_tokens"),
    ("/v1/chat/completions", body(max_tokens=True), 400, "invalid_request", "max_tokens"),
    (
        "/v1/chat/completions",
        body(max_completion_tokens=10**9),
        400,
        "invalid_request",
        "max_completion_tokens",
    ),
    ("/v1/chat/completions", body(n=2), 400, "invalid_request", "n"),
    ("/v1/chat/completions", body(temperature=9), 400, "invalid_request", "temperature"),
    ("/v1/chat/completions", body(top_p=-1), 400, "invalid_request", "top_p"),
    ("/v1/chat/completions", body(stop=[1]), 400, "invalid_request", "stop"),
    ("/v1/chat/completions", body(stream="yes"), 400, "invalid_request", "stream"),
    (
        "/v1/chat/completions",
        body(stream_options={"include_usage": True}),
        400,
        "invalid_request",
        "stream_options",
    ),
    ("/v1/completions", {"model": "mock"}, 400, "invalid_request", "prompt"),
    ("/v1/completions", {"model": "mock", "prompt": ""}, 400, "invalid_request", "prompt"),
    (
        "/v1/completions",
        {"model": "mock", "prompt": ["a", "b"]},
        400,
        "unsupported_value",
        "prompt",
    ),
    ("/v1/inference", {"prompt": "hi", "temperature": 0}, 400, "invalid_request", "temperature"),
    ("/v1/inference", {"prompt": "hi", "temperature": 1.1}, 400, "invalid_request", "temperature"),
    ("/v1/inference", {"prompt": "hi", "stop_words": 3}, 400, "invalid_request", "stop_words"),
    ("/v1/inference", {"prompt": "hi", "top_k": 3}, 400, "invalid_request", "top_k"),
]


@pytest.mark.parametrize(("path", "sent", "status", "code", "param"), BAD_BODIES)
def test_a_bad_body(
    staged: Platform, path: str, sent: Any, status: int, code: str, param: str | None
) -> None:
    content = sent if isinstance(sent, bytes) else httpx.Request("POST", "/", json=sent).content
    with client(staged) as asking:
        answer = asking.post(path, content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["message"]


def test_a_body_over_the_limit(staged: Platform) -> None:
    with client(staged) as asking:
        answer = asking.post("/v1/chat/completions", content=b"x" * (5 * 1024 * 1024))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_a_body_over_the_limit_that_does_not_tell_its_length(staged: Platform) -> None:
    chunks = (b"x" * 1024 * 1024 for _ in range(6))
    with client(staged) as asking:
        answer = asking.post("/v1/chat/completions", content=chunks)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer sk-fb-aaaaaaaaaaaa-" + "b" * 43 + "-cccccc"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
    ],
)
def test_an_unknown_key(staged: Platform, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{staged.url}/v1/chat/completions", json=body(), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_with_one_character_changed(staged: Platform) -> None:
    changed = staged.key[:-8] + ("x" if staged.key[-8] != "x" else "y") + staged.key[-7:]
    with client(staged, changed) as asking:
        assert asking.get("/v1/models").status_code == 401


def test_a_key_in_the_url_is_refused(staged: Platform) -> None:
    answer = httpx.get(f"{staged.url}/v1/models", params={"api_key": staged.key})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "api_key_in_url"
    assert staged.key not in answer.text


def test_unknown_paths_and_methods(staged: Platform) -> None:
    with client(staged) as asking:
        assert asking.get("/v1/nothing").status_code == 404
        assert asking.get("/v1/chat/completions").status_code == 405
        assert asking.get("/v1/models/gpt-9").status_code == 404


def test_a_strangers_stream_is_not_found(staged: Platform) -> None:
    with client(staged) as asking:
        mine = asking.post("/v1/chat/completions", json=body(stream=True, max_tokens=3))
        request_id = mine.headers["x-request-id"]
        again = asking.get(f"/v1/completions/{request_id}/events")
        assert again.text.endswith("data: [DONE]\n\n")
    with client(staged, _key_of_globex(staged)) as stranger:
        answer = stranger.get(f"/v1/completions/{request_id}/events")
        assert answer.status_code == 404
        missing = stranger.get("/v1/completions/00000000-0000-0000-0000-000000000000/events")
        assert missing.json() == answer.json()
        assert stranger.get("/v1/completions/x'--/events").status_code == 404


def test_a_refused_request_leaves_no_usage(staged: Platform) -> None:
    with client(staged) as asking:
        good = asking.post("/v1/chat/completions", json=body(max_tokens=2))
        assert asking.post("/v1/chat/completions", json=body(n=3)).status_code == 400
    record = Record(staged, good.headers["x-request-id"])
    assert len(record.usage()) == 1


def _key_of_globex(staged: Platform) -> str:
    import json

    staged.manage("create_tenant", "stranger", "--json")
    made = json.loads(staged.manage("create_api_key", "stranger", "--name", "charlie", "--json"))
    return str(made["api_key"])
