"""Bad input gets a clear error that says what to do."""

from typing import Any

import httpx
import pytest

from tests.e2e.ask import HI, Record, body, client
from tests.e2e.conftest import Platform
from tests.e2e.front_ends.base import FrontEnd
from tests.e2e.test_limits import key_of, new_tenant

pytestmark = pytest.mark.e2e

BAD_FIELDS: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    ("chat", {"model": ""}, 400, "invalid_request", "model"),
    ("chat", {"model": "gpt-9"}, 404, "model_not_found", "model"),
    ("chat", {"messages": []}, 400, "invalid_request", "messages"),
    (
        "chat",
        {"messages": [*HI, {"role": "boss", "content": "hi"}]},
        400,
        "invalid_request",
        "messages[1].role",
    ),
    ("chat", {"max_tokens": -1}, 400, "invalid_request", "max_tokens"),
    ("chat", {"max_tokens": 0}, 400, "invalid_request", "max_tokens"),
    ("chat", {"max_tokens": 10**9}, 400, "invalid_request", "max_tokens"),
    ("chat", {"temperature": 9}, 400, "invalid_request", "temperature"),
    ("chat", {"top_p": -1}, 400, "invalid_request", "top_p"),
    ("chat", {"frequency_penalty": 3}, 400, "invalid_request", "frequency_penalty"),
    ("chat", {"stop": ["x"] * 17}, 400, "invalid_request", "stop"),
    (
        "chat",
        {"messages": [{"role": "user", "content": "long " * 20_000}]},
        400,
        "context_length_exceeded",
        "messages",
    ),
    (
        "chat",
        {"messages": [{"role": "user", "content": ""}] * 10_000},
        400,
        "context_length_exceeded",
        "messages",
    ),
    ("plain", {"prompt": ""}, 400, "invalid_request", "prompt"),
    ("plain", {"max_tokens": 0}, 400, "invalid_request", "max_tokens"),
    ("plain", {"temperature": 0}, 400, "invalid_request", "temperature"),
    ("plain", {"temperature": 1.1}, 400, "invalid_request", "temperature"),
    ("plain", {"stop_words": ["x"] * 17}, 400, "invalid_request", "stop_words"),
    ("plain", {"model": "gpt-9"}, 404, "model_not_found", "model"),
]


@pytest.mark.parametrize(("how", "fields", "status", "code", "param"), BAD_FIELDS)
def test_a_bad_field(
    staged: Platform,
    front: FrontEnd,
    how: str,
    fields: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    with front.client(staged.key) as asking:
        answer = getattr(asking, how)(**fields)
    assert (answer.status, answer.code, answer.param) == (status, code, param)
    assert answer.message


BAD_BODIES: list[tuple[str, Any, int, str, str | None]] = [
    ("/v1/chat/completions", b"{not json", 400, "invalid_json", None),
    ("/v1/chat/completions", b"", 400, "invalid_json", None),
    ("/v1/chat/completions", b"[1, 2]", 400, "invalid_json", None),
    ("/v1/chat/completions", b"\xff\xfe", 400, "invalid_json", None),
    ("/v1/chat/completions", {}, 400, "invalid_request", "model"),
    ("/v1/chat/completions", {"model": 7, "messages": HI}, 400, "invalid_request", "model"),
    ("/v1/chat/completions", {"model": "mock"}, 400, "invalid_request", "messages"),
    ("/v1/chat/completions", body(messages="hi"), 400, "invalid_request", "messages"),
    ("/v1/chat/completions", body(messages=["hi"]), 400, "invalid_request", "messages[0]"),
    (
        "/v1/chat/completions",
        body(messages=[*HI, {"role": "user", "content": []}]),
        400,
        "invalid_request",
        "messages[1].content",
    ),
    ("/v1/chat/completions", body(max_tokens="9"), 400, "invalid_request", "max_tokens"),
    ("/v1/chat/completions", body(max_tokens=True), 400, "invalid_request", "max_tokens"),
    (
        "/v1/chat/completions",
        body(max_completion_tokens=10**9),
        400,
        "invalid_request",
        "max_completion_tokens",
    ),
    ("/v1/chat/completions", body(n=9), 400, "invalid_request", "n"),
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
        {"model": "mock", "prompt": ["a"] * 65},
        400,
        "unsupported_value",
        "prompt",
    ),
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
    ("key", "headers"),
    [
        (None, {}),
        ("nonsense", {}),
        ("sk-fb-aaaaaaaaaaaa-" + "b" * 43 + "-cccccc", {}),
        (None, {"Authorization": "Basic YTpi"}),
        (None, {"Authorization": "Bearer"}),
        (None, {"x-api-key": "nonsense"}),
    ],
)
def test_an_unknown_key(
    staged: Platform, front: FrontEnd, key: str | None, headers: dict[str, str]
) -> None:
    with front.client(key, headers=headers) as asking:
        answers = [asking.chat(), asking.models()]
    assert [(answer.status, answer.code) for answer in answers] == [(401, "invalid_api_key")] * 2


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_key_where_others_have_it(staged: Platform, front: FrontEnd, header: str) -> None:
    with front.client(None, headers={header: staged.key}) as asking:
        assert asking.models().text == "mock"


def test_a_key_with_one_character_changed(staged: Platform, front: FrontEnd) -> None:
    changed = staged.key[:-8] + ("x" if staged.key[-8] != "x" else "y") + staged.key[-7:]
    with front.client(changed) as asking:
        assert asking.models().status == 401


def test_a_key_without_the_scope(staged: Platform, front: FrontEnd) -> None:
    key = key_of(staged, new_tenant(staged), "--scope", "management:read")
    with front.client(key) as asking:
        answers = [asking.chat(), asking.models()]
    assert [(a.status, a.code) for a in answers] == [(403, "insufficient_scope")] * 2


@pytest.mark.parametrize("claimed", ["", "203.0.113.7", "203.0.113.7, 127.0.0.1"])
def test_a_key_from_another_address(staged: Platform, front: FrontEnd, claimed: str) -> None:
    """Whatever the client says of where it is: no proxy is named."""
    key = key_of(staged, new_tenant(staged), "--network", "203.0.113.0/24")
    with front.client(key, headers={"X-Forwarded-For": claimed} if claimed else None) as asking:
        answer = asking.chat()
    assert (answer.status, answer.code) == (403, "address_not_allowed")


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


def test_a_strangers_stream_is_not_found(staged: Platform, front: FrontEnd) -> None:
    stranger = key_of(staged, new_tenant(staged))
    with front.client(staged.key) as asking:
        with asking.chat_stream(max_tokens=3) as mine:
            heard = list(mine)
        with asking.resume(mine.request_id) as again:
            assert [event.text for event in again] == [event.text for event in heard]
    with front.client(stranger) as asking:
        told = []
        for request_id in (mine.request_id, "00000000-0000-0000-0000-000000000000", "x'--"):
            with asking.resume(request_id) as theirs:
                assert not list(theirs)
            assert theirs.error
            assert theirs.error.status == 404
            told.append(theirs.error.message)
        assert len(set(told)) == 1


def test_a_refused_request_leaves_no_usage(staged: Platform, front: FrontEnd) -> None:
    with front.client(staged.key) as asking:
        good = asking.chat(max_tokens=2)
        assert asking.chat(max_tokens=-3).status == 400
    record = Record(staged, good.request_id)
    assert len(record.usage()) == 1


@pytest.mark.parametrize("name", ["x-forebay-residency", "x-forebay-class", "Idempotency-Key"])
def test_a_header_with_a_value_that_is_none(staged: Platform, front: FrontEnd, name: str) -> None:
    with front.client(staged.key, headers={name.lower(): "m" * 256}) as asking:
        answer = asking.chat(max_tokens=2)
    assert (answer.status, answer.code, answer.param) == (400, "invalid_request", name)
