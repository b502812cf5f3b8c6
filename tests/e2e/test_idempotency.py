"""A request with an `Idempotency-Key` runs once, whoever dies, and has one answer."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.ask import Record, body, client, eventually
from tests.e2e.conftest import Mock, Platform
from tests.e2e.front_ends.base import FrontEnd
from tests.e2e.test_limits import key_of, new_tenant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
CHAT = "/v1/chat/completions"


def keyed(key: str | None = None) -> dict[str, str]:
    return {"idempotency-key": key or uuid4().hex}


def replayed(figures: Any) -> bool:
    return "x-forebay-replayed" in figures


def received(platform: Platform, request_id: str) -> None:
    """It ran once, and was paid for once."""
    record = Record(platform, request_id)
    assert record.actions() == ["completion:received", "completion:completed"]
    assert len(record.usage()) == 1


def test_the_same_answer_again(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    ran = mock.state()["requests"]
    with front.client(staged.key, headers=keyed()) as asking:
        first, again = asking.chat(max_tokens=5), asking.chat(max_tokens=5)
        plain = asking.plain(max_tokens=5)  # the key stands for the chat
    assert first.text
    assert (first.text, first.usage, first.request_id) == (
        again.text,
        again.usage,
        again.request_id,
    )
    assert (replayed(first.figures), replayed(again.figures)) == (False, True)
    assert again.figures["x-forebay-upstream"] == "mock"  # the pool, as usage has it
    assert (plain.code, plain.param) == ("idempotency_key_reused", "Idempotency-Key")
    assert "new key" in plain.message
    assert mock.state()["requests"] == ran + 1
    received(staged, first.request_id)


def test_a_plain_call_again(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key, headers=keyed()) as asking:
        first, again = asking.plain(max_tokens=4), asking.plain(max_tokens=4)
    assert (first.text, first.request_id) == (again.text, again.request_id)
    assert replayed(again.figures)


def test_a_stream_again_as_a_stream(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key, headers=keyed()) as asking:
        with asking.chat_stream(max_tokens=6) as stream:
            first = list(stream)
        with asking.chat_stream(max_tokens=6) as again:
            heard = list(again)
    assert "".join(e.text for e in first) == "".join(e.text for e in heard) != ""
    assert first[-1].finish_reason == heard[-1].finish_reason == "length"
    assert replayed(again.figures)
    received(staged, stream.request_id)


@pytest.mark.soak("grpc")
def test_whoever_asks_meanwhile_gets_the_same_answer(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=30, interval_ms=20)
    for how in ("chat", "chat_stream"):
        ran = mock.state()["requests"]
        with front.client(staged.key, headers=keyed()) as asking:
            answers = asking.at_once(6, how)
        assert {answer.status for answer in answers} == {200}, answers
        assert mock.state()["requests"] == ran + 1
        if how == "chat":
            assert len({(answer.request_id, answer.text) for answer in answers}) == 1


def test_a_client_that_went_away_finds_its_answer(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=40, interval_ms=20)
    ran = mock.state()["requests"]
    with front.client(staged.key, headers=keyed()) as asking:
        with asking.chat_stream() as stream:
            began = next(iter(stream))
        with asking.chat_stream() as again:
            heard = list(again)
    assert began.text in "".join(e.text for e in heard)
    assert heard[-1].finish_reason
    assert len("".join(e.text for e in heard).split()) == 40
    assert mock.state()["requests"] == ran + 1
    received(staged, stream.request_id)


def test_another_body_is_refused_and_told_what_to_do(staged: Platform, mock: Mock) -> None:
    with client(staged) as asking:
        asking.headers.update(keyed())
        assert asking.post(CHAT, json=body(max_tokens=2)).status_code == 200
        other = asking.post(CHAT, json=body(max_tokens=3))
        local = {"x-forebay-residency": "local"}  # the first one may be somewhere else
        stays = asking.post(CHAT, json=body(max_tokens=2), headers=local)
    assert stays.status_code == 422
    error = other.json()["error"]
    assert (other.status_code, error["code"]) == (422, "idempotency_key_reused")
    assert "new key" in error["message"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_is_none(staged: Platform, mock: Mock, key: str) -> None:
    with client(staged) as asking:
        answer = asking.post(CHAT, json=body(), headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"


def test_a_key_is_its_api_keys_own(staged: Platform, mock: Mock) -> None:
    tenant, headers = new_tenant(staged), keyed()
    keys = [key_of(staged, tenant) for _ in range(2)]
    answers = []
    for key in keys:
        with client(staged, key) as asking:
            answers.append(asking.post(CHAT, json=body(max_tokens=2), headers=headers))
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2


def test_what_came_to_nothing_may_come_again(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    mock.behave(fail="http_500")
    with front.client(staged.key, headers=keyed()) as asking:
        failed = asking.chat(max_tokens=2)
        mock.behave()
        answer, again = asking.chat(max_tokens=2), asking.chat(max_tokens=2)
    assert failed.status >= 500
    assert (answer.status, replayed(answer.figures)) == (200, False)
    assert (again.request_id, replayed(again.figures)) == (answer.request_id, True)


def test_what_a_limit_refused_may_come_again(staged: Platform, mock: Mock) -> None:
    tenant = new_tenant(staged, "--max-concurrency", "1")
    mock.behave(tokens=10_000, interval_ms=10)
    with client(staged, key_of(staged, tenant)) as asking:
        headers = keyed()

        def ask() -> httpx.Response:
            return asking.post(CHAT, json=body(max_tokens=1), headers=headers)

        with asking.stream("POST", CHAT, json=body(stream=True)) as taken:
            assert taken.status_code == 200
            assert ask().status_code == 429
        answer = eventually(lambda: (found := ask()).status_code == 200 and found)
        assert not replayed(answer.headers)
        with asking.stream("POST", CHAT, json=body(stream=True)):  # the one slot again
            again = ask()
    assert (again.status_code, replayed(again.headers)) == (200, True)


def test_what_broke_off_is_not_run_again(staged: Platform, mock: Mock) -> None:
    mock.behave(fail="drop_mid_stream")
    with client(staged) as asking:
        asking.headers.update(keyed())
        asking.post(CHAT, json=body(stream=True))
        mock.behave()
        ran = mock.state()["requests"]
        again = asking.post(CHAT, json=body(stream=True))
    assert again.status_code == 502
    assert again.headers["x-should-retry"] == "false"
    assert again.json()["error"]["code"] == "engine_failed"
    assert "runs it anew" in again.json()["error"]["message"]
    assert mock.state()["requests"] == ran
