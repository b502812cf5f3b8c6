"""Calls of tools in the pieces of a stream, however an engine numbers and mixes them."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import EventWriter as MessageWriter
from inference.api.ollama.lines import LineWriter
from inference.api.ollama.lines import Shape as LineShape
from inference.api.responses import requests
from inference.api.responses.events import EventWriter as ResponseWriter
from inference.api.responses.output import Shape
from inference.codec import pieces
from inference.stream.frames import Frame, Kind

pytestmark = pytest.mark.unit
Call = tuple[str, str, str]  # its id, its name, its arguments
SHAPE = Shape(UUID(int=1), 1_700_000_000, requests.head_of("small"))
PARIS, NOON = '{"city":"Paris"}', '{"hour":12}'
CALLS = [("c1", "weather", PARIS), ("c2", "time", NOON)]


def piece(index: int | None, arguments: str = "", call: Call | None = None) -> dict[str, Any]:
    named = {"id": call[0], "type": "function"} if call else {}
    name = {"name": call[1]} if call else {}
    number = {} if index is None else {"index": index}
    return {**number, **named, "function": {**name, "arguments": arguments}}


WHOLE = [piece(None, call[2], call) for call in CALLS]
STREAMS = {
    "one after the other": [
        *(piece(0, call=CALLS[0]), piece(0, PARIS[:5]), piece(0, PARIS[5:])),
        *(piece(1, call=CALLS[1]), piece(1, NOON)),
    ],
    "in turn": [
        *(piece(0, call=CALLS[0]), piece(1, call=CALLS[1]), piece(0, PARIS[:5])),
        *(piece(1, NOON[:5]), piece(0, PARIS[5:]), piece(1, NOON[5:])),
    ],
    "without numbers": WHOLE,
    "all of number 0": [piece(0, call[2], call) for call in CALLS],
    "in pieces, all of number 0": [
        *(piece(0, call=CALLS[0]), piece(0, PARIS[:5]), piece(0, PARIS[5:])),
        *(piece(0, call=CALLS[1]), piece(0, NOON[:5]), piece(0, NOON[5:])),
    ],
}


def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "model": "small", "choices": [choice]}
    return b"data: " + orjson.dumps(chunk)


@pytest.fixture(params=[*STREAMS, "kept"])
def events(request: pytest.FixtureRequest) -> list[bytes]:
    """Returns those of an engine, or of a whole answer that was kept and is streamed."""
    if request.param != "kept":
        deltas = [event({"tool_calls": [each]}) for each in STREAMS[request.param]]
        return [*deltas, event({}, "tool_calls")]
    message = {"role": "assistant", "content": None, "tool_calls": WHOLE}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = orjson.dumps({"id": "x", "model": "small", "choices": [choice], "usage": {}})
    return list(pieces.of_answer(answer, include_usage=False))


def frame(events: list[bytes]) -> Frame:
    body = b"".join(each + b"\n\n" for each in [*events, b"data: [DONE]"])
    return Frame(b"", 1, len(events) + 1, Kind.END, body)


def data_of(text: bytes) -> list[dict[str, Any]]:
    lines = (line[6:] for line in text.split(b"\n") if line.startswith(b"data: {"))
    return [orjson.loads(line) for line in lines]


def test_a_response_has_each_call_whole(events: list[bytes]) -> None:
    own = data_of(ResponseWriter(SHAPE).written(frame(events)))
    items = own[-1]["response"]["output"]
    assert [(i["call_id"], i["name"], i["arguments"]) for i in items] == CALLS
    done = [each["item"] for each in own if each["type"] == "response.output_item.done"]
    assert done == items
    numbers = [each["output_index"] for each in own if "output_index" in each]
    assert numbers == sorted(numbers)


def test_a_message_has_one_block_after_the_other(events: list[bytes]) -> None:
    own = data_of(MessageWriter("msg_1", None, Thoughts.SHOWN).written(frame(events), "r-1"))
    begun = [each["content_block"] for each in own if each["type"] == "content_block_start"]
    texts = ["", ""]
    for each in own:
        if each["type"] == "content_block_delta":
            texts[each["index"]] += each["delta"]["partial_json"]
    named = [(block["id"], block["name"]) for block in begun]
    assert [(*names, text) for names, text in zip(named, texts, strict=True)] == CALLS


def test_a_line_of_ollama_has_both(events: list[bytes]) -> None:
    writer = LineWriter(LineShape("small", is_chat=True))
    lines = [orjson.loads(line) for line in writer.written(frame(events)).splitlines()]
    calls = next(line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"])
    functions = [(call["id"], call["function"]) for call in calls]
    own = [(identity, f["name"], f["arguments"]) for identity, f in functions]
    assert own == [(identity, name, orjson.loads(text)) for identity, name, text in CALLS]


def test_the_record_has_both(events: list[bytes]) -> None:
    message = orjson.loads(pieces.as_answer(events, {}))["choices"][0]["message"]
    functions = [(call["id"], call["function"]) for call in message["tool_calls"]]
    assert [(identity, f["name"], f["arguments"]) for identity, f in functions] == CALLS


def test_a_kept_call_has_a_number_in_its_stream() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": WHOLE}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = orjson.dumps({"id": "x", "model": "small", "choices": [choice], "usage": {}})
    first = orjson.loads(next(pieces.of_answer(answer, include_usage=False))[6:])
    assert [call["index"] for call in first["choices"][0]["delta"]["tool_calls"]] == [0, 1]


def test_arguments_that_are_no_json_hold_the_next_call_back_until_the_end() -> None:
    broken = [piece(0, "not JSON", CALLS[0]), piece(1, NOON, CALLS[1])]
    events = [event({"tool_calls": [each]}) for each in broken]
    own = data_of(ResponseWriter(SHAPE).written(frame([*events, event({}, "tool_calls")])))
    items = own[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in items] == [
        ("c1", "not JSON"),
        ("c2", NOON),
    ]


# A text, or a thought, between two pieces of a call: the call, then the text.
def text_inside() -> list[bytes]:
    deltas: list[dict[str, Any]] = [
        {"tool_calls": [piece(0, call=CALLS[0])]},
        {"tool_calls": [piece(0, PARIS[:5])], "content": "I "},
        {"content": "look."},
        {"tool_calls": [piece(1, NOON[:5], CALLS[1])]},
        {"reasoning_content": "Hm."},
        {"tool_calls": [piece(0, PARIS[5:])]},
        {"tool_calls": [piece(1, NOON[5:])]},
    ]
    return [*map(event, deltas), event({}, "tool_calls")]


def test_a_text_inside_a_call_does_not_cut_it_in_a_response() -> None:
    own = data_of(ResponseWriter(SHAPE).written(frame(text_inside())))
    items = own[-1]["response"]["output"]
    kinds = ["function_call", "message", "function_call", "reasoning"]
    assert [item["type"] for item in items] == kinds
    assert [(i["call_id"], i["name"], i["arguments"]) for i in items[::2]] == CALLS
    assert [item["content"][0]["text"] for item in items[1::2]] == ["I look.", "Hm."]


def test_a_text_inside_a_call_does_not_cut_it_in_a_message() -> None:
    own = data_of(MessageWriter("msg_1", None, Thoughts.SHOWN).written(frame(text_inside()), "r"))
    begun = [each["content_block"] for each in own if each["type"] == "content_block_start"]
    assert [block["type"] for block in begun] == ["tool_use", "text", "tool_use", "thinking"]
    inputs = ["", "", "", ""]
    for each in own:
        if each["type"] == "content_block_delta":
            inputs[each["index"]] += each["delta"].get("partial_json", "")
    assert inputs == [PARIS, "", NOON, ""]
    places = [each["index"] for each in own if "index" in each]
    assert places == sorted(places)


def test_a_text_inside_a_call_does_not_cut_it_in_other_forms() -> None:
    writer = LineWriter(LineShape("small", is_chat=True))
    lines = [orjson.loads(line) for line in writer.written(frame(text_inside())).splitlines()]
    calls = next(line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"])
    assert [call["function"]["arguments"] for call in calls] == [{"city": "Paris"}, {"hour": 12}]
    message = orjson.loads(pieces.as_answer(text_inside(), {}))["choices"][0]["message"]
    assert [c["function"]["arguments"] for c in message["tool_calls"]] == [PARIS, NOON]
    assert message["content"] == "I look."


def test_a_text_behind_a_call_that_never_ends_comes_with_the_end() -> None:
    events = [event({"tool_calls": [piece(0, "{", CALLS[0])]}), event({"content": "Sorry."})]
    own = data_of(ResponseWriter(SHAPE).written(frame([*events, event({}, "stop")])))
    items = own[-1]["response"]["output"]
    assert [item["type"] for item in items] == ["function_call", "message"]
    assert items[1]["content"][0]["text"] == "Sorry."


def test_an_object_as_arguments_is_their_json() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
    events = [event({"content": "I look.", "tool_calls": [call]}), event({}, "tool_calls")]
    text, item = data_of(ResponseWriter(SHAPE).written(frame(events)))[-1]["response"]["output"]
    assert (text["content"][0]["text"], item["arguments"]) == ("I look.", PARIS)
