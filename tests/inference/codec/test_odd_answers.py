"""Answers of engines that write more loosely than OpenAI does, in each front end's form."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.api.anthropic import answers as messages
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import EventWriter as MessageWriter
from inference.api.ollama.lines import LineWriter
from inference.api.ollama.lines import Shape as LineShape
from inference.api.responses import answers as responses
from inference.api.responses import requests
from inference.api.responses.events import EventWriter as ResponseWriter
from inference.api.responses.output import Shape
from inference.codec import events, pieces
from inference.stream.frames import Frame, Kind
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
SHAPE = Shape(UUID(int=1), 1_700_000_000, requests.head_of("small"))
PARTS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
    {"type": "text", "text": "Hel"},
    {"type": "text", "text": "lo"},
]
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "model": "small",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": PARTS},
            "finish_reason": "stop",
        }
    ],
}
BODY = Frame(b"", 1, 0, Kind.BODY, orjson.dumps(WHOLE))


def streamed() -> Frame:
    made = [*pieces.of_answer(BODY.body, include_usage=False), b"data: [DONE]"]
    return Frame(b"", 1, len(made), Kind.END, b"".join(each + b"\n\n" for each in made))


def data_of(text: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: {")]


def test_a_content_in_parts_is_the_text_of_a_response() -> None:
    whole = responses.response(BODY, SHAPE)["output"]
    (item,) = data_of(ResponseWriter(SHAPE).written(streamed()))[-1]["response"]["output"]
    assert [part["text"] for part in whole[0]["content"]] == ["Hello"]
    assert item == whole[0]


def test_a_content_in_parts_is_the_text_of_a_message() -> None:
    body = orjson.loads(messages.message(BODY, an_order(), Thoughts.SHOWN))
    assert body["content"] == [{"type": "text", "text": "Hello"}]
    writer = MessageWriter("msg_1", None, Thoughts.SHOWN)
    listed = data_of(writer.written(streamed(), "r-1"))
    deltas = [each["delta"]["text"] for each in listed if "text" in each.get("delta", {})]
    assert deltas == ["Hello"]


def test_a_content_in_parts_is_the_text_of_a_line() -> None:
    writer = LineWriter(LineShape("small", is_chat=True))
    first = orjson.loads(writer.written(streamed()).splitlines()[0])
    assert first["message"]["content"] == "Hello"


def test_a_content_in_parts_is_the_text_of_the_record() -> None:
    """Of gRPC and of the chat of people, too."""
    assert events.said_of(BODY.body).text == "Hello"
    assert events.said_in_all(events.split(streamed().body)[:-1]).text == "Hello"


@pytest.mark.parametrize("usage", [{}, {"usage": None}])
def test_a_whole_answer_without_figures_and_reason_is_one(usage: dict[str, Any]) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
    answer = orjson.dumps({"id": "x", "model": "small", "choices": [choice], **usage})
    writer = LineWriter(LineShape("small", is_chat=True))
    writer.hear(list(pieces.of_answer(answer, include_usage=True)))
    line = orjson.loads(writer.whole())
    assert (line["message"]["content"], line["done_reason"]) == ("Hello", "stop")
