"""A stream as one answer, and that answer as a stream again."""

from typing import Any

import orjson
import pytest

from inference.codec import pieces
from inference.codec.events import parsed

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + orjson.dumps({**HEAD, "choices": list(choices), **more})


def delta(index: int = 0, finish_reason: str | None = None, **said: Any) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": finish_reason}


def call(number: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": number, "function": {"arguments": arguments, **more.pop("named", {})}, **more}


@pytest.mark.unit
def test_pieces_become_one_answer_and_its_stream_says_the_same() -> None:
    named = {"named": {"name": "look_up"}}
    logprobs = [{"content": [{"token": t, "logprob": -1.0}]} for t in ("Hi", "!")]
    events = [
        event(delta(role="assistant", content="")),
        event(delta(reasoning_content="Hm"), delta(1, content="Two")),
        event({**delta(content="Hi"), "logprobs": logprobs[0]}),
        event({**delta(content="!", role="assistant"), "logprobs": logprobs[1]}),
        event(delta(tool_calls=[call(0, "", id="a", type="function", **named)])),
        event(delta(tool_calls=[call(0, '{"x"'), call(1, "{}", id="b", type="function")])),
        event(delta(tool_calls=[call(0, ":1}")])),
        event(delta(finish_reason="tool_calls"), delta(1, "stop")),
    ]
    answer = orjson.loads(pieces.as_answer(events, USAGE))
    assert (answer["object"], answer["id"], answer["usage"]) == (
        "chat.completion",
        HEAD["id"],
        USAGE,
    )
    first, second = answer["choices"]
    assert first["message"]["role"] == "assistant"
    assert first["message"]["content"] == "Hi!"
    assert first["message"]["reasoning_content"] == "Hm"
    assert [call["id"] for call in first["message"]["tool_calls"]] == ["a", "b"]
    assert first["message"]["tool_calls"][0]["function"] == {
        "name": "look_up",
        "arguments": '{"x":1}',
    }
    assert [each["token"] for each in first["logprobs"]["content"]] == ["Hi", "!"]
    assert first["finish_reason"] == "tool_calls"
    assert (second["message"]["content"], second["finish_reason"]) == ("Two", "stop")

    again = list(pieces.of_answer(orjson.dumps(answer), include_usage=True))
    assert {parsed(each)["object"] for each in again} == {"chat.completion.chunk"}
    assert orjson.loads(pieces.as_answer(again, USAGE)) == answer
    assert parsed(again[-1])["usage"] == USAGE
    without = pieces.of_answer(orjson.dumps(answer), include_usage=False)
    assert not [each for each in without if parsed(each).get("usage")]


@pytest.mark.unit
def test_a_text_completion_stays_one() -> None:
    head = {"id": "cmpl-1", "object": "text_completion", "model": "m"}
    texts = [("On", None), ("ce", None), ("", "length")]
    events = [
        b"data: "
        + orjson.dumps({**head, "choices": [{"index": 0, "text": text, "finish_reason": why}]})
        for text, why in texts
    ]
    answer = pieces.as_answer(events, USAGE)
    assert orjson.loads(answer)["choices"] == [
        {"index": 0, "text": "Once", "finish_reason": "length"}
    ]
    again = list(pieces.of_answer(answer, include_usage=False))
    assert pieces.as_answer(again, USAGE) == answer


@pytest.mark.unit
def test_what_is_no_answer_is_left_out() -> None:
    """Of an engine that sends anything: what is asked again has an answer all the same."""
    odd: list[Any] = ["text", None, 7, {"index": "one", "delta": {"content": "A"}}, {"index": [1]}]
    calls: list[Any] = ["call", {"index": {}, "function": "f"}, {"index": None}]
    events = [
        event(*odd),
        event(delta(content="B", tool_calls=calls)),
        event(delta(content=["C"], tool_calls="none")),
        event(delta(content=8, tool_calls=[call(0, "{}")])),
        b"data: " + orjson.dumps({**HEAD, "choices": {"index": 0}}),
        b"data: []",
        event(delta(content="D", finish_reason="stop")),
    ]
    (choice,) = orjson.loads(pieces.as_answer(events, USAGE))["choices"]
    assert choice["message"]["content"] == "ABD"
    assert choice["finish_reason"] == "stop"
    assert list(pieces.of_answer(pieces.as_answer(events, USAGE), include_usage=True))
