"""The line of a request, from the key to the record."""

import json
import time

import httpx
import pytest

from tests.e2e.ask import HI, Record, body, chat, client, events, stream
from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e


def words(n: int) -> str:
    return "".join(f" t{i}" for i in range(n))


def test_a_whole_answer_and_its_record(staged: Platform, mock: Mock) -> None:
    answer = chat(staged, max_tokens=5)
    found, request_id = answer.json(), answer.headers["x-request-id"]
    assert found["choices"][0]["message"]["content"] == words(5)
    assert (found["model"], found["id"]) == ("mock", f"chatcmpl-{request_id.replace('-', '')}")
    record = Record(staged, request_id)
    assert record.actions() == ["completion:received", "completion:completed"]
    assert record.state() == "done"
    (usage,) = record.usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (20, 5)
    assert (usage["finish_reason"], usage["attempts"]) == ("length", 1)


def test_a_stream_is_on_record_before_its_last_event(staged: Platform, mock: Mock) -> None:
    with stream(staged, max_tokens=6) as answer:
        record = Record(staged, answer.headers["x-request-id"])
        found = []
        for _, data in events(answer.iter_lines()):
            found.append(data)
            if '"finish_reason":"' in data:
                assert record.state() == "done"
                assert len(record.usage()) == 1
    deltas = [json.loads(data)["choices"][0]["delta"] for data in found[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == words(6)
    assert len(found) == 9  # role, six tokens, finish, [DONE]


def test_usage_comes_only_when_asked_for(staged: Platform, mock: Mock) -> None:
    def usages(**fields: object) -> list[object]:
        with stream(staged, max_tokens=3, **fields) as answer:
            found = [json.loads(d) for _, d in events(answer.iter_lines()) if d != "[DONE]"]
        return [chunk["usage"] for chunk in found if chunk.get("usage")]

    assert usages() == []
    (usage,) = usages(stream_options={"include_usage": True})
    assert usage["completion_tokens"] == 3  # type: ignore[index]


def test_a_reader_comes_back_and_misses_nothing(staged: Platform, mock: Mock) -> None:
    with stream(staged, max_tokens=20) as answer:
        request_id = answer.headers["x-request-id"]
        whole = list(events(answer.iter_lines()))
    for after in (0, 1, 7, 20, 22):
        with client(staged) as asking:
            headers = {"Last-Event-ID": str(after)}
            rest = asking.get(f"/v1/completions/{request_id}/events", headers=headers)
        assert list(events(iter(rest.text.splitlines()))) == whole[after:]


def test_a_second_reader_follows_a_running_stream(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=50, interval_ms=20)
    with stream(staged) as answer, client(staged) as asking:
        first = events(answer.iter_lines())
        seen = [next(first) for _ in range(5)]
        path = f"/v1/completions/{answer.headers['x-request-id']}/events"
        with asking.stream("GET", path, headers={"Last-Event-ID": "5"}) as second:
            rest = list(events(second.iter_lines()))
        assert seen + list(first) == seen + rest


def test_the_plain_call(staged: Platform, mock: Mock) -> None:
    asked = {"prompt": "Say hi.", "max_tokens": 4, "temperature": 0.7, "stop_words": ["x"]}
    with client(staged) as asking:
        found = asking.post("/v1/inference", json=asked).json()
    assert found["text"] == words(4)
    assert found["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == 4
    assert len(Record(staged, found["request_id"]).usage()) == 1
    assert mock.last_body()["stop"] == ["x"]


def test_what_the_platform_does_not_know_passes_through(staged: Platform, mock: Mock) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    passed = {
        "tools": tools,
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 7,
        "stop": ["END"],
        "top_p": 0.5,
        "min_p": 0.1,
    }
    assert chat(staged, max_completion_tokens=2, **passed).status_code == 200
    sent = mock.last_body()
    assert {name: sent[name] for name in passed} == passed
    assert sent["max_tokens"] == 2


def test_models(staged: Platform) -> None:
    with client(staged) as asking:
        listed = asking.get("/v1/models").json()
        assert [model["id"] for model in listed["data"]] == ["mock"]
        assert abs(time.time() - listed["data"][0]["created"]) < 3600
        assert asking.get("/v1/models/mock").json()["id"] == "mock"


def test_more_requests_at_once_than_slots(staged: Platform, mock: Mock) -> None:
    mock.behave(tokens=10, interval_ms=5)
    with httpx.Client(base_url=staged.url, timeout=30) as asking:
        import concurrent.futures

        headers = {"Authorization": f"Bearer {staged.key}"}

        def ask(_: int) -> tuple[int, str]:
            sent = body(messages=HI)
            answer = asking.post("/v1/chat/completions", json=sent, headers=headers)
            return answer.status_code, answer.headers["x-request-id"]

        with concurrent.futures.ThreadPoolExecutor(40) as many:
            answers = list(many.map(ask, range(80)))
    assert {status for status, _ in answers} == {200}
    assert len({request_id for _, request_id in answers}) == 80


def test_probes(staged: Platform) -> None:
    assert httpx.get(f"{staged.url}/livez").json() == {"alive": True}
    assert httpx.get(f"{staged.url}/readyz").json()["ready"] is True
