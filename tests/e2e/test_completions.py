"""The line of a request, from the key to the record."""

import base64
import json
import time

import httpx
import pytest

from inference.engines.health import breakers
from tests.e2e.ask import HI, Record, body, chat, client, events, stream
from tests.e2e.conftest import MOCK_SLOTS, Mock, Platform
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.front_ends.base import FrontEnd
from tests.e2e.front_ends.grpc import Grpc

pytestmark = pytest.mark.e2e


def words(n: int) -> str:
    return "".join(f" t{i}" for i in range(n))


def test_a_whole_answer_and_its_record(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key) as asking:
        answer = asking.chat(max_tokens=5)
    assert (answer.text, answer.finish_reason) == (words(5), "length")
    record = Record(staged, answer.request_id)
    assert record.actions() == ["completion:received", "completion:completed"]
    assert record.state() == "done"
    (usage,) = record.usage()
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (20, 5)
    assert (usage["finish_reason"], usage["attempts"]) == ("length", 1)


def test_the_answer_in_openais_shape(staged: Platform, mock: Mock) -> None:
    answer = chat(staged, max_tokens=5)
    found, request_id = answer.json(), answer.headers["x-request-id"]
    assert found["choices"][0]["message"]["content"] == words(5)
    assert (found["model"], found["id"]) == ("mock", f"chatcmpl-{request_id.replace('-', '')}")


def test_a_receipt_goes_along(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key) as asking:
        answer = asking.chat(max_tokens=2)
    receipt = json.loads(base64.b64decode(answer.figures["x-audit-receipt"]))
    assert receipt["request_id"] == answer.request_id


def test_every_answer_names_who_served_it(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key) as asking:
        with asking.chat_stream(max_tokens=2) as stream:
            list(stream)
        answers = [asking.chat(max_tokens=2), asking.plain(max_tokens=2)]
        mock.behave(fail="http_500")
        answers.append(asking.chat(max_tokens=2))
    assert answers[-1].status >= 500
    for figures in (stream.figures, *(answer.figures for answer in answers)):
        assert figures["x-forebay-upstream"] == "mock/mock/openai"


def test_a_stream_is_on_record_before_its_last_event(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    heard = []
    with front.client(staged.key) as asking, asking.chat_stream(max_tokens=6) as stream:
        record = Record(staged, stream.request_id)
        for event in stream:
            heard.append(event)
            if event.finish_reason:
                assert record.state() == "done"
                assert len(record.usage()) == 1
    assert "".join(event.text for event in heard) == words(6)
    assert heard[-1].finish_reason == "length"


def test_a_stream_as_server_sent_events(staged: Platform, mock: Mock) -> None:
    with stream(staged, max_tokens=6) as answer:
        found = [data for _, data in events(answer.iter_lines())]
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


def test_a_reader_comes_back_by_any_front_end(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    """Numbers are those of the stream, whichever front end tells them."""
    mock.behave(interval_ms=25)  # slow enough for a frame each
    with front.client(staged.key) as asking, asking.chat_stream(max_tokens=20) as stream:
        whole = list(stream)
    text = "".join(event.text for event in whole)
    assert text == words(20)
    for other in FRONT_ENDS.values():
        with other(staged).client(staged.key) as asking:
            for n in (0, 1, 7, len(whole) - 2):
                before = "".join(event.text for event in whole[: n + 1])
                with asking.resume(stream.request_id, whole[n].number) as rest:
                    heard = list(rest)
                assert before + "".join(event.text for event in heard) == text
                assert (heard[-1].finish_reason, rest.error) == ("length", None)


def test_a_second_reader_follows_a_running_stream(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=50, interval_ms=20)
    with (
        front.client(staged.key) as asking,
        front.client(staged.key) as other,
        asking.chat_stream() as stream,
    ):
        first = iter(stream)
        seen = [next(first) for _ in range(5)]
        with other.resume(stream.request_id, seen[-1].number) as second:
            rest = "".join(event.text for event in second)
        assert rest == "".join(event.text for event in first)


def test_the_plain_call(staged: Platform, mock: Mock, front: FrontEnd) -> None:
    with front.client(staged.key) as asking:
        answer = asking.plain(max_tokens=4, temperature=0.7, stop_words=["x"])
    assert (answer.text, answer.finish_reason) == (words(4), "length")
    assert answer.usage["completion_tokens"] == 4
    assert len(Record(staged, answer.request_id).usage()) == 1
    sent = mock.last_body()
    assert (sent["stop"], sent["temperature"], sent["max_tokens"]) == (["x"], 0.7, 4)


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
        assert 0 <= time.time() - listed["data"][0]["created"] < 86_400  # in seconds, of today
        assert asking.get("/v1/models/mock").json()["id"] == "mock"


def test_those_that_wait_are_told_where_they_stand(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=1, delay_ms=700)  # the last comes before the first has ended
    with front.client(staged.key) as asking:
        answers = asking.at_once(2 * MOCK_SLOTS, "chat")
    assert {answer.status for answer in answers} == {200}
    told = [int(answer.figures.get("x-forebay-queue-position", 0)) for answer in answers]
    assert 0 < max(told) <= MOCK_SLOTS + 1, told
    assert 0 in told, told


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


def test_a_path_that_the_engine_lacks_is_named_and_closes_it_to_nobody(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(fail="chat_only")
    with front.client(staged.new_key()) as client:
        for _ in range(breakers.FAILURES + 1):
            refused = client.plain(max_tokens=4)
            assert (refused.status, refused.code) == (404, "not_offered")
            assert "POST /v1/completions" in refused.message
        assert client.chat(max_tokens=4).status == 200


def test_a_cancelled_stream_says_so_live_and_when_it_is_read_again(
    staged: Platform, mock: Mock, front: FrontEnd
) -> None:
    mock.behave(tokens=10_000, interval_ms=10)
    key = staged.new_key()
    with Grpc(staged).client(key) as other, front.client(key) as asking:
        with asking.chat_stream() as stream:
            reading = iter(stream)
            for _ in range(5):
                next(reading)
            assert other.cancel(stream.request_id).was_running
            assert not any(event.finish_reason for event in reading)
        with asking.resume(stream.request_id) as again:
            assert not any(event.finish_reason for event in again)
    for error in (stream.error, again.error):
        assert error
        assert (error.code, error.message) == ("cancelled", "this request was cancelled")
