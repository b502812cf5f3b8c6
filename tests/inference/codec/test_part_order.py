"""Thoughts, texts and calls in turns: a stored response has the items of its stream."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import EventWriter as MessageWriter
from inference.api.responses import answers, requests
from inference.api.responses.events import EventWriter
from inference.api.responses.output import Shape
from inference.codec import pieces
from inference.stream.frames import Frame, Kind

pytestmark = pytest.mark.unit
SHAPE = Shape(UUID(int=1), 1_700_000_000, requests.head_of("small"))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
Json = dict[str, Any]


def call(index: int, name: str, arguments: str = "{}") -> Json:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": f"c_{name}", "function": function}]}


def thought(text: str) -> Json:
    return {"reasoning_content": text}


def text(content: str) -> Json:
    return {"content": content}


ORDERS = {
    "thought, text, thought, text": [thought("A"), text("B"), thought("C"), text("D")],
    "a text behind a call": [text("A"), call(0, "f"), text("B"), call(1, "g")],
    "a thought between calls": [thought("A"), call(0, "f"), thought("B"), call(1, "g")],
    "calls in another order": [call(1, "g"), call(0, "f")],
    "a refusal, then a text": [{"refusal": "No."}, text("A")],
    "a text inside a call": [
        call(0, "f", '{"a"'),
        text("A"),
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ],
    "as usual": [thought("A"), thought("B"), text("C"), call(0, "f"), call(1, "g")],
    "thoughts alone": [thought("A")],
    "nothing": [],
}


def stream(deltas: list[Json], reason: str = "stop") -> list[bytes]:
    listed = [({"role": "assistant", "content": ""}, None), *((d, None) for d in deltas)]
    return [
        b"data: "
        + orjson.dumps(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "model": "small",
                "choices": [{"index": 0, "delta": delta, "finish_reason": why}],
            }
        )
        for delta, why in [*listed, ({}, reason)]
    ]


def frame(events: list[bytes]) -> Frame:
    body = b"".join(each + b"\n\n" for each in [*events, b"data: [DONE]"])
    return Frame(b"", 1, len(events) + 1, Kind.END, body)


def of_stream(events: list[bytes]) -> list[Json]:
    writer = EventWriter(SHAPE)
    writer.written(frame(events))
    assert writer.response
    output: list[Json] = writer.response["output"]
    return output


@pytest.mark.parametrize("deltas", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_a_stored_response_has_the_items_of_its_stream(deltas: list[Json], reason: str) -> None:
    events = stream(deltas, reason)
    record = pieces.as_record(events, USAGE)
    assert answers.of_body(record, SHAPE)["output"] == of_stream(events)
    again = pieces.as_events(record, include_usage=True)
    assert of_stream(again[1].removesuffix(b"\n\ndata: [DONE]\n\n").split(b"\n\n")) == of_stream(
        events
    )


@pytest.mark.parametrize("deltas", ORDERS.values(), ids=ORDERS.keys())
def test_a_message_that_is_sent_again_has_the_blocks_of_its_stream(deltas: list[Json]) -> None:
    events = stream(deltas)
    number, body = pieces.as_events(pieces.as_record(events, USAGE), include_usage=True)
    blocks = [
        [
            orjson.loads(line[6:])
            for line in MessageWriter("m", None, Thoughts.SHOWN).written(own, "r").split(b"\n")
            if line.startswith(b'data: {"type":"content_block_st')
        ]
        for own in (frame(events), Frame(b"", 1, number, Kind.END, body))
    ]
    assert blocks[0] == blocks[1]


def test_an_answer_in_the_usual_order_is_recorded_without_it() -> None:
    events = stream(ORDERS["as usual"])
    assert pieces.as_record(events, USAGE) == pieces.as_answer(events, USAGE)
    in_turn = [call(0, "f", '{"a"'), call(1, "g", "{")]
    in_turn += [
        {"tool_calls": [{"index": n, "function": {"arguments": rest}}]}
        for n, rest in enumerate((":1}", "}"))
    ]
    events = stream(in_turn)
    assert pieces.as_record(events, USAGE) == pieces.as_answer(events, USAGE)


def test_clients_never_get_the_order() -> None:
    record = pieces.as_record(stream(ORDERS["thought, text, thought, text"]), USAGE)
    assert b"forebay" in record
    assert b"forebay" not in pieces.as_events(record, include_usage=True)[1]
    assert b"forebay" not in pieces.own_body(record, "y", "small", 3)


@pytest.mark.parametrize("all_have_them", [True, False])
def test_each_text_keeps_its_probabilities(all_have_them: bool) -> None:
    events = list[bytes]()
    for number, delta in enumerate([thought("A"), text("B"), thought("C"), text("D")]):
        own = {"content": [{"token": str(number), "logprob": -1.0}]}
        has = all_have_them or "content" in delta
        choice = {"index": 0, "delta": delta, "logprobs": own if has else None}
        events.append(b"data: " + orjson.dumps({"model": "small", "choices": [choice]}))
    record = pieces.as_record([*events, stream([])[-1]], USAGE)
    texts = [i["content"][0] for i in answers.of_body(record, SHAPE)["output"]][1::2]
    tokens = [[each["token"] for each in part["logprobs"]] for part in texts]
    assert tokens == ([["0", "1", "2", "3"], []] if all_have_them else [["1"], ["3"]])
