"""The events of a message, from the chunks of engines."""

from typing import Any

import orjson
import pytest

from inference.api.anthropic import answers
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import EventWriter
from inference.errors import Cancelled, error_body
from inference.stream.frames import Frame, Kind
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
COUNTED = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 6,
    "output_tokens": 4,
    "output_tokens_details": {"thinking_tokens": 2},
}


def chunk(reason: str | None = None, matched: Any = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "stop_reason": matched}
    return b"data: " + orjson.dumps({"id": "x", "model": "small", "choices": [choice]})


def tool(index: int = 0, **function: str) -> bytes:
    identity = {"id": f"call_{index}"} if "name" in function else {}
    return chunk(tool_calls=[{"index": index, **identity, "function": function}])


COUNT = b"data: " + orjson.dumps({"model": "small", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]"
START = chunk(role="assistant", content="")


def frames(*groups: list[bytes]) -> list[Frame]:
    """Returns a frame for each group of chunks; the last ends the stream."""
    number, made = 0, list[Frame]()
    for n, group in enumerate(groups):
        number += len(group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        blob = b"".join(event + b"\n\n" for event in group)
        made.append(Frame(b"", 1, number, kind, blob))
    return made


def writer(thoughts: Thoughts = Thoughts.SHOWN, *, after: int = 0, **body: Any) -> EventWriter:
    order = an_order(body=orjson.dumps({"max_tokens": 4, **body}))
    return EventWriter("msg_1", order, thoughts, after=after)


def read(text: bytes) -> list[tuple[int | None, dict[str, Any]]]:
    """Returns the events with their ids; each is named as its type."""
    events = list[tuple[int | None, dict[str, Any]]]()
    for event in text.split(b"\n\n")[:-1]:
        lines = dict(line.split(b": ", 1) for line in event.split(b"\n"))
        data = orjson.loads(lines[b"data"])
        assert data["type"].encode() == lines[b"event"]
        number = int(lines[b"id"].rstrip(b"oh")) if b"id" in lines else None
        events.append((number, data))
    return events


def events(own: EventWriter, *groups: list[bytes]) -> list[dict[str, Any]]:
    text = b"".join(own.written(frame, "r-1") for frame in frames(*groups))
    return [data for _, data in read(text) if data["type"] != "ping"]


def short(data: dict[str, Any]) -> str:
    """Returns an event in a word or two."""
    delta, block = data.get("delta", {}), data.get("content_block", {})
    grown = [v for k, v in delta.items() if k in ("text", "thinking", "partial_json", "signature")]
    name = data["type"].removeprefix("content_block_").removeprefix("message_")
    index = f" {data['index']}" if "index" in data else ""
    detail = block.get("type") or "".join(grown) or delta.get("stop_reason") or ""
    return f"{name}{index} {detail}".strip()


END = [chunk("stop"), COUNT, DONE]


def test_a_text() -> None:
    made = events(writer(), [START, chunk(content="Hel")], [chunk(content="lo"), *END])
    assert [short(event) for event in made] == [
        "start",
        "start 0 text",
        "delta 0 Hel",
        "delta 0 lo",
        "stop 0",
        "delta end_turn",
        "stop",
    ]
    assert made[0]["message"] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "small",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**answers.NO_USAGE, "service_tier": "standard"},
    }
    assert made[-2]["usage"] == COUNTED


def test_a_prompts_stream_has_its_text() -> None:
    """Any stream can be read again here, also one that had no chat."""
    choices = [{"text": "Hi"}, {"text": "!", "finish_reason": "stop"}]
    chunks = [b"data: " + orjson.dumps({"choices": [{"index": 0, **c}]}) for c in choices]
    made = events(writer(), chunks[:1], [chunks[1], DONE])
    deltas = [event["delta"] for event in made if event["type"] == "content_block_delta"]
    assert [delta["text"] for delta in deltas] == ["Hi", "!"]


def test_of_several_answers_the_first_one_alone() -> None:
    """A chat's stream with `n`, which is read again here."""
    second = orjson.loads(chunk("length", content="Bye").partition(b": ")[2])
    second["choices"][0]["index"] = 1
    other = b"data: " + orjson.dumps(second)
    made = events(writer(), [START, chunk(content="Hi"), other], [chunk("stop"), other, DONE])
    deltas = [event["delta"] for event in made if event["type"] == "content_block_delta"]
    assert [delta["text"] for delta in deltas] == ["Hi"]
    assert made[-2]["delta"]["stop_reason"] == "end_turn"


def test_what_arrives_together_is_one_delta() -> None:
    made = events(writer(), [START, *(chunk(content=f" {n}") for n in range(9))], END)
    assert [e["delta"]["text"] for e in made if e["type"] == "content_block_delta"] == [
        " 0 1 2 3 4 5 6 7 8"
    ]


def test_thinking_then_text_then_calls() -> None:
    chunks = [
        START,
        chunk(reasoning_content="Hm"),
        chunk(reasoning="!"),
        chunk(content="I look."),
        tool(0, name="get_weather", arguments=""),
        tool(0, arguments='{"city":'),
        tool(0, arguments='"Paris"}'),
        tool(1, name="get_time", arguments="{}"),
    ]
    end = [chunk("tool_calls"), COUNT, DONE]
    expected = [
        "start",
        "start 0 thinking",
        "delta 0 Hm!",
        "delta 0 forebay",
        "stop 0",
        "start 1 text",
        "delta 1 I look.",
        "stop 1",
        "start 2 tool_use",
        'delta 2 {"city":"Paris"}',
        "stop 2",
        "start 3 tool_use",
        "delta 3 {",
        "delta 3 }",
        "stop 3",
        "delta tool_use",
        "stop",
    ]
    made = events(writer(), chunks, end)
    assert [short(event) for event in made] == expected
    assert made[8]["content_block"] == {
        "type": "tool_use",
        "id": "call_0",
        "name": "get_weather",
        "input": {},
    }
    alone = events(writer(), *([each] for each in chunks), end)
    texts = dict[int, str]()
    for event in alone:
        if "delta" in event and "index" in event:
            grown = [v for k, v in event["delta"].items() if k != "type"]
            texts[event["index"]] = texts.get(event["index"], "") + grown[0]
    assert texts == {0: "Hm!forebay", 1: "I look.", 2: '{"city":"Paris"}', 3: "{}"}


@pytest.mark.parametrize(
    ("thoughts", "expected"),
    [
        (Thoughts.OMITTED, ["start 0 thinking", "delta 0 forebay", "stop 0", "start 1 text"]),
        (Thoughts.HIDDEN, ["start 0 text"]),
    ],
)
def test_thinking_that_the_client_does_not_want(thoughts: Thoughts, expected: list[str]) -> None:
    made = events(
        writer(thoughts), [START, chunk(reasoning_content="Hm"), chunk(content="x"), *END]
    )
    shown = [short(event) for event in made]
    assert shown[1 : 1 + len(expected)] == expected
    assert not any("Hm" in event for event in shown)


@pytest.mark.parametrize("thoughts", Thoughts)
def test_ids_say_what_the_client_gets_of_the_thinking(thoughts: Thoughts) -> None:
    (frame,) = frames([START, chunk(content="x"), *END])
    text = writer(thoughts).written(frame, "r")
    assert b"id: 5%b\n" % thoughts.value.encode() in text


@pytest.mark.parametrize(
    ("reason", "matched", "body", "expected"),
    [
        ("stop", None, {}, ("end_turn", None)),
        ("stop", "END", {}, ("stop_sequence", "END")),
        ("stop", 151645, {}, ("end_turn", None)),  # a token, as vLLM names the end
        ("length", None, {}, ("max_tokens", None)),
        ("length", None, {"max_tokens": 100}, ("model_context_window_exceeded", None)),
        ("length", None, {"max_tokens": None}, ("model_context_window_exceeded", None)),
        ("tool_calls", None, {}, ("tool_use", None)),
        ("content_filter", None, {}, ("refusal", None)),
        ("eos", None, {}, ("end_turn", None)),
    ],
)
def test_the_reason_of_the_end(
    reason: str, matched: Any, body: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    made = events(writer(**body), [START, chunk(content="x"), chunk(reason, matched), COUNT, DONE])
    assert (made[-2]["delta"]["stop_reason"], made[-2]["delta"]["stop_sequence"]) == expected


def test_calls_that_end_with_stop_are_calls() -> None:
    made = events(writer(), [START, tool(0, name="f", arguments="{}"), *END])
    assert made[-2]["delta"]["stop_reason"] == "tool_use"


def test_an_answer_without_a_word() -> None:
    made = events(writer(), [START, *END])
    assert [short(event) for event in made] == ["start", "delta end_turn", "stop"]


def test_a_stream_that_was_ended_early_ends_with_an_error() -> None:
    *_, last = events(writer(), [START, chunk(content="x")], [DONE])
    assert last == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": Cancelled().message,
            "code": "cancelled",
            "param": None,
        },
        "request_id": "r-1",
    }


def test_an_error_in_the_middle() -> None:
    error = Frame(b"", 99, 7, Kind.ERROR, error_body("gone", "engine_failed", 502), 502)
    ((number, data),) = read(writer().written(error, "r-1"))
    assert (number, data["error"]["type"], data["error"]["message"]) == (7, "api_error", "gone")


STREAM = (
    [START, chunk(reasoning_content="Hm"), chunk(content="a")],
    [chunk(content="b"), chunk(content="c")],
    [
        tool(0, name="f", arguments='{"x":'),
        tool(0, arguments="1}"),
        chunk("tool_calls"),
        COUNT,
        DONE,
    ],
)


@pytest.mark.parametrize("after", range(11))
def test_read_again_it_goes_on_after_the_last_event(after: int) -> None:
    """Each number is an event that a reader may have seen last."""
    whole, again = writer(), writer(after=after)
    live = [event for f in frames(*STREAM) for event in read(whole.written(f, "r"))]
    rest = [event for f in frames(*STREAM) for event in read(again.written(f, "r"))]
    grown = "".join(short(e) for _, e in live if e["type"] == "content_block_delta")
    alone = writer()
    before = list[Any]()
    for number, each in enumerate([c for group in STREAM for c in group], 1):
        if number <= after:
            kind = Kind.END if number == 10 else Kind.EVENTS
            frame = Frame(b"", 1, number, kind, each + b"\n\n")
            before += read(alone.written(frame, "r"))
    both = "".join(_grown(before)) + "".join(_grown(rest))
    assert both == "".join(_grown(live)), grown
    assert all(number is None or number > after for number, _ in rest)
    assert bool(rest) is (after < 10)


def _grown(listed: list[Any]) -> list[str]:
    return [
        next(v for k, v in event["delta"].items() if k != "type")
        for _, event in listed
        if event["type"] == "content_block_delta"
    ]


def test_a_call_that_is_no_json_ends_with_its_text() -> None:
    chunks = [tool(0, name="f", arguments='{"city": Par'), tool(0, arguments="is}")]
    made = events(writer(), [START, *chunks, chunk("tool_calls"), COUNT, DONE])
    grown = "".join(_grown([(None, event) for event in made if "index" in event]))
    assert orjson.loads(grown) == {"city": None, "INVALID_JSON": '{"city": Paris}'}
    cut = events(writer(), [START, *chunks[:1], chunk("length"), COUNT, DONE])
    assert "".join(_grown([(None, event) for event in cut if "index" in event])) == '{"city": '


# Whole answers -----------------------------------------------------------------------------------
def whole(message: dict[str, Any], reason: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": reason, **more}
    answer = {"id": "x", "model": "small", "choices": [choice], "usage": USAGE}
    frame = Frame(b"", 1, 0, Kind.BODY, orjson.dumps(answer))
    made: dict[str, Any] = orjson.loads(answers.message(frame, an_order(), Thoughts.SHOWN))
    return made


DEEP = '{"a":' + "[" * 300 + "]" * 300 + "}"


def test_a_whole_message() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    message = {"content": "I look.", "reasoning_content": "Hm", "tool_calls": calls}
    made = whole(message, "tool_calls")
    assert made["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "forebay"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    ]
    assert (made["stop_reason"], made["usage"]) == (
        "tool_use",
        {**COUNTED, "service_tier": "standard"},
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ('{"a"', {"INVALID_JSON": '{"a"'}),
        (DEEP, {"INVALID_JSON": DEEP}),
    ],
)
def test_arguments_that_are_no_object(arguments: str, expected: dict[str, str]) -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": arguments}}]
    assert whole({"content": None, "tool_calls": calls})["content"][0]["input"] == expected


def test_a_stop_sequence_that_the_engine_names() -> None:
    made = whole({"content": "x"}, matched_stop="END")
    assert (made["stop_reason"], made["stop_sequence"]) == ("stop_sequence", "END")


def test_an_answer_that_was_ended_early_is_an_error() -> None:
    with pytest.raises(Cancelled):
        answers.message(Frame(b"", 1, 0, Kind.BODY, b""), an_order(), Thoughts.SHOWN)
