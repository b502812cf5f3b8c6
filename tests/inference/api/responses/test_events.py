"""Responses and their events, from the answers of engines."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.api.responses import answers, opaque, output, requests
from inference.api.responses.events import EventWriter
from inference.api.responses.output import Shape
from inference.errors import Cancelled, error_body
from inference.stream.frames import Frame, Kind
from inference.validation.schemas import Body
from tests.inference.api.responses.asking import PATCH, WEATHER, read

pytestmark = pytest.mark.unit
COMPLETION = UUID(int=10**30)
ID = COMPLETION.hex
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
COUNTED = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 13,
}


def shape(*tools: Body, summary: str | None = None, packs: bool = False) -> Shape:
    head = requests.head_of("small")
    reasoning = {"effort": None, "summary": summary}
    return Shape(
        COMPLETION, 1_700_000_000, {**head, "tools": [*tools], "reasoning": reasoning}, packs
    )


def chunk(reason: str | None = None, logprobs: Any = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
    return b"data: " + orjson.dumps({"id": "x", "model": "small", "choices": [choice]})


def tool(index: int = 0, **function: str) -> bytes:
    identity = {"id": f"call_{index}"} if "name" in function else {}
    return chunk(tool_calls=[{"index": index, **identity, "function": function}])


COUNT = b"data: " + orjson.dumps({"model": "small", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]"
START = chunk(role="assistant", content="")
END = [chunk("stop"), COUNT, DONE]


def frames(*groups: list[bytes]) -> list[Frame]:
    """Returns a frame for each group of chunks; the last ends the stream."""
    number, made = 0, list[Frame]()
    for n, group in enumerate(groups):
        number += len(group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        blob = b"".join(event + b"\n\n" for event in group)
        made.append(Frame(b"", 1, number, kind, blob))
    return made


def written(writer: EventWriter, *groups: list[bytes]) -> bytes:
    return b"".join(writer.written(frame) for frame in frames(*groups))


def events(own: Shape, *groups: list[bytes]) -> list[dict[str, Any]]:
    text = written(EventWriter(own), *groups)
    assert text.endswith(b"\n\ndata: [DONE]\n\n")
    made = [data for _, data in read(text)]
    assert [data["sequence_number"] for data in made] == list(range(len(made)))
    return made


def short(data: dict[str, Any]) -> str:
    """Returns an event in a word or two."""
    name = data["type"].removeprefix("response.")
    grown = data.get("delta", data.get("text", data.get("arguments", data.get("input"))))
    detail = data.get("item", data.get("part", {})).get("type") or grown or ""
    index = f" {data['output_index']}" if "output_index" in data else ""
    return f"{name}{index} {detail}".strip()


def message(index: int, status: str, *content: Body) -> Body:
    return output.message(f"msg_{ID}{index:04x}", status, *content)


# Streams -----------------------------------------------------------------------------------------
def test_a_text() -> None:
    made = events(shape(), [START, chunk(content="Hel")], [chunk(content="lo"), *END])
    assert [short(event) for event in made] == [
        "created",
        "in_progress",
        "output_item.added 0 message",
        "content_part.added 0 output_text",
        "output_text.delta 0 Hel",
        "output_text.delta 0 lo",
        "output_text.done 0 Hello",
        "content_part.done 0 output_text",
        "output_item.done 0 message",
        "completed",
    ]
    begun, done = made[0]["response"], made[-1]["response"]
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    assert (begun["id"], begun["completed_at"]) == (f"resp_{ID}", None)
    assert made[2]["item"] == message(0, "in_progress")
    item = message(0, "completed", output.text_part("Hello"))
    assert made[-2]["item"] == item
    assert (done["status"], done["output"], done["usage"]) == ("completed", [item], COUNTED)
    assert made[4] == {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        "item_id": f"msg_{ID}0000",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hel",
        "logprobs": [],
    }


def test_thoughts_then_text_then_calls() -> None:
    chunks = [
        START,
        chunk(reasoning_content="Hm"),
        chunk(reasoning="!"),
        chunk(content="I look."),
        tool(0, name="get_weather", arguments=""),
        tool(0, arguments='{"city":'),
        tool(0, arguments='"Paris"}'),
        tool(1, name="get_time"),
    ]
    made = events(shape(WEATHER), chunks, [chunk("tool_calls"), COUNT, DONE])
    assert [short(event) for event in made] == [
        "created",
        "in_progress",
        "output_item.added 0 reasoning",
        "content_part.added 0 reasoning_text",
        "reasoning_text.delta 0 Hm",
        "reasoning_text.delta 0 !",
        "reasoning_text.done 0 Hm!",
        "content_part.done 0 reasoning_text",
        "output_item.done 0 reasoning",
        "output_item.added 1 message",
        "content_part.added 1 output_text",
        "output_text.delta 1 I look.",
        "output_text.done 1 I look.",
        "content_part.done 1 output_text",
        "output_item.done 1 message",
        "output_item.added 2 function_call",
        'function_call_arguments.delta 2 {"city":',
        'function_call_arguments.delta 2 "Paris"}',
        'function_call_arguments.done 2 {"city":"Paris"}',
        "output_item.done 2 function_call",
        "output_item.added 3 function_call",
        "function_call_arguments.done 3 {}",
        "output_item.done 3 function_call",
        "completed",
    ]
    assert made[19]["item"] == {
        "id": f"fc_{ID}0002",
        "type": "function_call",
        "call_id": "call_0",
        "name": "get_weather",
        "arguments": '{"city":"Paris"}',
        "status": "completed",
    }
    assert [item["id"] for item in made[-1]["response"]["output"]] == [
        f"rs_{ID}0000",
        f"msg_{ID}0001",
        f"fc_{ID}0002",
        f"fc_{ID}0003",
    ]


def test_calls_that_are_not_numbered() -> None:
    calls = [{"id": f"call_{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(2)]
    made = events(shape(), [START, *(chunk(tool_calls=[call]) for call in calls), *END])
    assert [item["call_id"] for item in made[-1]["response"]["output"]] == ["call_0", "call_1"]


def test_thoughts_as_a_summary_for_clients_that_ask_for_one() -> None:
    own = shape(summary="auto", packs=True)
    made = events(own, [START, chunk(reasoning_content="Hm"), chunk(content="x"), *END])
    assert [short(event) for event in made[2:8]] == [
        "output_item.added 0 reasoning",
        "reasoning_summary_part.added 0 summary_text",
        "reasoning_summary_text.delta 0 Hm",
        "reasoning_summary_text.done 0 Hm",
        "reasoning_summary_part.done 0 summary_text",
        "output_item.done 0 reasoning",
    ]
    assert (made[4]["summary_index"], "content_index" in made[4]) == (0, False)
    item = made[-1]["response"]["output"][0]
    assert (item["summary"], "content" in item) == ([{"type": "summary_text", "text": "Hm"}], False)
    assert opaque.unpacked(item["encrypted_content"]) == "Hm"


def test_a_custom_tool_gets_its_text() -> None:
    calls = [tool(0, name="apply_patch", arguments='{"input":'), tool(0, arguments='"*** x"}')]
    made = events(shape(PATCH), [START, *calls, chunk("tool_calls"), COUNT, DONE])
    assert [short(event) for event in made[2:-1]] == [
        "output_item.added 0 custom_tool_call",
        "custom_tool_call_input.delta 0 *** x",
        "custom_tool_call_input.done 0 *** x",
        "output_item.done 0 custom_tool_call",
    ]
    assert made[-2]["item"]["input"] == "*** x"
    assert made[-2]["item"]["id"] == f"ctc_{ID}0000"


def test_probabilities() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": None}
    made = events(
        shape(),
        [
            START,
            chunk(content="Hi", logprobs={"content": [{**token, "top_logprobs": [token]}]}),
            *END,
        ],
    )
    token_sent = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    own = [{**token_sent, "top_logprobs": [token_sent]}]
    delta = next(event for event in made if event["type"].endswith("text.delta"))
    assert delta["logprobs"] == own
    assert made[-1]["response"]["output"][0]["content"][0]["logprobs"] == own


def test_a_refusal() -> None:
    made = events(shape(), [START, chunk(refusal="No"), chunk(refusal="."), *END])
    assert [short(event) for event in made[3:-1]] == [
        "content_part.added 0 refusal",
        "refusal.delta 0 No",
        "refusal.delta 0 .",
        "refusal.done 0",
        "content_part.done 0 refusal",
        "output_item.done 0 message",
    ]
    assert made[-2]["item"]["content"] == [{"type": "refusal", "refusal": "No."}]


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_incomplete_item_is_the_last(reason: str, why: str) -> None:
    chunks = [START, chunk(reasoning_content="Hm"), chunk(content="x"), chunk(reason), COUNT, DONE]
    response = events(shape(), chunks)[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": why})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["completed_at"] is None


def test_an_answer_without_a_word_is_an_empty_message() -> None:
    made = events(shape(), [START, *END])
    assert made[-1]["response"]["output"] == [message(0, "completed", output.text_part(""))]


def test_a_stream_that_was_ended_early() -> None:
    made = events(shape(), [START, chunk(content="x")], [DONE])
    response = made[-1]["response"]
    assert (made[-1]["type"], response["status"]) == ("response.failed", "cancelled")
    assert response["error"] == {"code": "cancelled", "message": Cancelled().message}
    assert response["output"][0]["status"] == "incomplete"


def test_an_error_in_the_middle() -> None:
    writer = EventWriter(shape())
    first = writer.written(frames([START, chunk(content="x")], END)[0])
    error = Frame(b"", 99, 3, Kind.ERROR, error_body("gone", "engine_failed", 502), 502)
    text = writer.written(error)
    made = read(first + text)
    number, last = made[-1]
    assert (number, last["type"]) == (3, "response.failed")
    assert last["sequence_number"] == len(made) - 1
    assert last["response"]["error"] == {"code": "engine_failed", "message": "gone"}
    assert (last["response"]["status"], text[-14:]) == ("failed", b"data: [DONE]\n\n")


STREAM = [
    [START, chunk(reasoning_content="Hm"), chunk(content="a")],
    [chunk(content="b"), chunk(content="c")],
    [
        tool(0, name="f", arguments='{"x":'),
        tool(0, arguments="1}"),
        chunk("tool_calls"),
        COUNT,
        DONE,
    ],
]
LIVE = read(written(EventWriter(shape()), *STREAM))
ONE_BY_ONE = [[event] for group in STREAM for event in group]


@pytest.mark.parametrize("after", range(-1, len(LIVE)))
def test_read_again_in_other_frames_it_goes_on_after_any_event(after: int) -> None:
    again = read(written(EventWriter(shape(), after=after), *ONE_BY_ONE))
    assert _without_time(again) == _without_time(LIVE[after + 1 :])


@pytest.mark.parametrize("after", range(11))
def test_read_again_it_goes_on_after_any_chunk(after: int) -> None:
    again = read(written(EventWriter(shape(), after_chunk=after), *ONE_BY_ONE))
    seen = max((n for n, (number, _) in enumerate(LIVE) if (number or 99) <= after), default=-1)
    assert _without_time(again) == _without_time(LIVE[seen + 1 :])


def test_the_last_event_of_a_chunk_has_its_number() -> None:
    numbers = [number for number, _ in LIVE if number]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 10]


@pytest.mark.parametrize(
    ("code", "status"),
    [("cancelled", "cancelled"), ("cancelled_by_operator", "cancelled"), ("aborted", "failed")],
)
def test_who_ended_it_early_has_cancelled_it(code: str, status: str) -> None:
    """Its caller or an administrator, as the stored response says."""
    body = error_body("it ended", code, 403)
    text = EventWriter(shape()).written(Frame(b"", 1, 1, Kind.ERROR, body, 403))
    assert read(text)[-1][1]["response"]["status"] == status


@pytest.mark.parametrize(
    ("had", "shown"),
    [
        ({}, [("response.created", 0), ("response.in_progress", 1), ("response.failed", 2)]),
        ({"after_chunk": 50}, [("response.failed", 2)]),
        ({"after": 10}, [("response.failed", 11)]),
    ],
)
def test_an_end_of_which_no_event_is_kept_is_told_to_whoever_had_more(
    had: dict[str, int], shown: list[tuple[str, int]]
) -> None:
    """It was cancelled while it waited, or its events have expired."""
    body = error_body("gone", "stream_expired", 404)
    text = EventWriter(shape(), **had).written(Frame(b"", 0, 0, Kind.ERROR, body, 404))
    assert text.endswith(b"data: [DONE]\n\n")
    made = read(text)
    assert [(event["type"], event["sequence_number"]) for _, event in made] == shown
    number, end = made[-1]
    assert (number, end["response"]["error"]["code"]) == (
        had.get("after_chunk", 1),
        "stream_expired",
    )


def _without_time(listed: list[Any]) -> list[Any]:
    for _, event in listed:
        event.get("response", {}).pop("completed_at", None)
    return listed


def test_a_prompts_stream_has_its_text() -> None:
    """Any stream can be read again here, also one that had no chat."""
    choices = [{"text": "Hi"}, {"text": "!", "finish_reason": "stop"}]
    chunks = [b"data: " + orjson.dumps({"choices": [{"index": 0, **c}]}) for c in choices]
    made = events(shape(), chunks[:1], [chunks[1], DONE])
    assert made[-1]["response"]["output"] == [message(0, "completed", output.text_part("Hi!"))]


def test_of_several_answers_the_first_one_alone() -> None:
    """A chat's stream with `n`, which is read again here."""
    second = orjson.loads(chunk("length", content="Bye").partition(b": ")[2])
    second["choices"][0]["index"] = 1
    other = b"data: " + orjson.dumps(second)
    made = events(shape(), [START, chunk(content="Hi"), other], [chunk("stop"), other, DONE])
    assert made[-1]["response"]["output"] == [message(0, "completed", output.text_part("Hi"))]


# Whole answers -----------------------------------------------------------------------------------
def whole(own: Shape, message: dict[str, Any], reason: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": reason, **more}
    answer = {"id": "x", "model": "small", "choices": [choice], "usage": USAGE}
    return answers.response(Frame(b"", 1, 0, Kind.BODY, orjson.dumps(answer)), own)


def test_a_whole_response_has_the_items_of_its_stream() -> None:
    calls = [
        {"id": "call_0", "function": {"name": "get_weather", "arguments": '{"a":1}'}},
        {"id": "call_1", "function": {"name": "apply_patch", "arguments": '{"input":"x"}'}},
    ]
    message = {"content": "I look.", "reasoning_content": "Hm", "tool_calls": calls}
    deltas = [
        START,
        chunk(reasoning_content="Hm"),
        chunk(content="I look."),
        tool(0, **calls[0]["function"]),  # type: ignore[arg-type]
        tool(1, **calls[1]["function"]),  # type: ignore[arg-type]
    ]
    for own in (shape(PATCH), shape(PATCH, summary="auto", packs=True)):
        made = whole(own, message, "tool_calls")
        streamed = events(own, deltas, [chunk("tool_calls"), COUNT, DONE])[-1]["response"]
        assert {**made, "completed_at": 0} == {**streamed, "completed_at": 0}
        assert [item["type"] for item in made["output"]] == [
            "reasoning",
            "message",
            "function_call",
            "custom_tool_call",
        ]


def test_an_answer_that_its_bound_cut() -> None:
    made = whole(shape(), {"content": "x"}, "length")
    assert (made["status"], made["output"][-1]["status"]) == ("incomplete", "incomplete")


def test_calls_without_names_and_ids() -> None:
    calls = [{"function": {"arguments": {"a": 1}}}, None]
    first, second = whole(shape(), {"tool_calls": calls})["output"]
    assert (first["name"], first["arguments"]) == ("", '{"a":1}')
    assert first["call_id"] != second["call_id"]


def test_an_answer_that_was_ended_early_is_an_error() -> None:
    with pytest.raises(Cancelled):
        answers.response(Frame(b"", 1, 0, Kind.BODY, b""), shape())


# Ids and texts -----------------------------------------------------------------------------------
@pytest.mark.parametrize("identity", [f"resp_{ID}", ID, str(COMPLETION), f"msg_{ID}0003"])
def test_the_completion_of_an_id(identity: str) -> None:
    assert output.completion_id(identity) == COMPLETION


@pytest.mark.parametrize("identity", ["", "resp_", "resp_x", f"resp_{ID}00", "resp_" + "g" * 32])
def test_an_id_of_nothing(identity: str) -> None:
    assert output.completion_id(identity) is None


@pytest.mark.parametrize("content", [None, 5, "", "gAAAAA", "fb1.!", "fb1._w==", "fb1.x"])
def test_a_text_of_another_service_is_none(content: Any) -> None:
    assert opaque.unpacked(content) is None


@pytest.mark.parametrize("text", ["", "Hm.", "né 😀"])
def test_a_packed_text(text: str) -> None:
    assert opaque.unpacked(opaque.packed(text)) == text
