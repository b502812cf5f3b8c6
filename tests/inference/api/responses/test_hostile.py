"""Hostile requests and answers: a refusal that says why, or a sound result, and nothing else."""

import time
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api.responses import answers, fields, items, requests
from inference.api.responses.events import EventWriter
from inference.engines import KINDS
from inference.engines.base import EngineConfig
from inference.errors import ApiError
from inference.intake.access import allowed
from inference.stream.frames import Frame, Kind
from inference.validation import requests as validation
from inference.validation.requests import Form
from tests.inference.api.odd_answers import groups_of_chunks, json, whole_choice, whole_message
from tests.inference.api.responses.asking import (
    ASK,
    HI,
    PATCH,
    WEATHER,
    call,
    read,
    result,
    text_item,
    thought,
)
from tests.inference.api.responses.test_events import shape
from tests.inference.callers import a_caller

pytestmark = pytest.mark.unit
CONFIG = EngineConfig("small", "llama_cpp", "http://x", "theirs", context_length=8192)
ENGINE = KINDS["llama_cpp"](CONFIG)


@pytest.fixture(autouse=True, scope="module")
def own_engine() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allowed, "served", lambda: {"small": ENGINE})
        patch.setattr(allowed, "check_residency", lambda caller, model: None)
        yield


def refusal(raw: bytes) -> ApiError | None:
    """Returns the refusal of a body; None if it is taken, and then can be stored."""
    try:
        present = fields.checked(validation.parsed(raw))
        request = requests.read(a_caller(), present, len(raw), [], {})
        with requests.own_names():
            validation.checked(request.body, len(raw), Form.CHAT, ENGINE)
    except ApiError as refused:
        written = orjson.loads(refused.body())["error"]
        assert (refused.status, bool(written["message"])) == (400, True), written
        return refused
    assert all(item["id"] and item["type"] for item in map(items.described, request.listed))
    orjson.dumps(request.head)
    return None


def raw(**more: Any) -> bytes:
    return orjson.dumps({**ASK, **more})


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [{"type": "function_call_output", "call_id": "a", "output": value}]
    return value


LARGE_TOOL = {**WEATHER, "description": "x" * 1024}
LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
HOSTILE: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "a lone surrogate": raw(input="MARK").replace(b"MARK", b"\\ud800"),
    "a lone surrogate in a call": raw(input=[HI, call(arguments="MARK"), result()]).replace(
        b"MARK", b"\\udfff"
    ),
    "a lone surrogate in an id": raw(input=[HI, call("MARK"), result("x", "MARK")]).replace(
        b"MARK", b"\\ud801"
    ),
    "bytes that are no UTF-8": raw(input="MARK").replace(b"MARK", b"\xff\xfe"),
    "deep outputs": raw(input=[HI, call("a"), *nested(100)]),
    "outputs in outputs": raw(input=[HI, call("a"), *nested(3)]),
    "deep brackets": b'{"model":"small","input":' + b"[" * 100_000,
    "deep arguments": raw(
        input=[HI, call(arguments='{"a":' + "[" * 80 + "]" * 80 + "}"), result()]
    ),
    "many items": raw(input=[HI] * 9_000),
    "many parts": raw(input=[text_item("user", *[""] * 60_000)]),
    "many calls without outputs": raw(input=[HI, *(call(str(n)) for n in range(5_000))]),
    "many tools": raw(tools=[{**WEATHER, "name": f"t{n}"} for n in range(5_000)]),
    "10 MB of tools": raw(tools=[{**LARGE_TOOL, "name": f"t{n}"} for n in range(9_000)]),
    "tools of one name": raw(tools=[WEATHER, WEATHER]),
    "two kinds of tools of one name": raw(tools=[WEATHER, {**PATCH, "name": "get_weather"}]),
    "duplicate ids of calls": raw(input=[HI, call(), call(), result()]),
    "an output before its call": raw(input=[HI, result(), call()]),
    "two outputs of a call": raw(input=[HI, call(), result(), result()]),
    "an unknown item": raw(input=[{"type": "computer_call", "call_id": "x"}]),
    "an item without a type": raw(input=[{"content": "x"}]),
    "a type that is a list": raw(input=[{"type": ["message"], "role": "user", "content": "x"}]),
    "a role that is a list": raw(input=[{"role": ["user"], "content": "x"}]),
    "a reference that is an object": raw(input=[{"type": "item_reference", "id": {}}]),
    "an id of a call that is an object": raw(input=[HI, {**call(), "call_id": {}}]),
    "an id of an output that is a list": raw(input=[HI, call(), {**result(), "call_id": []}]),
    "thoughts that are a number": raw(input=[HI, thought(content=5)]),
    "a tool that is a list": raw(tools=[[]]),
    "a type of tools that is an object": raw(tools=[{**WEATHER, "type": {}}]),
    "a choice that is a list": raw(tools=[WEATHER], tool_choice=["auto"]),
    "a choice of a list": raw(tools=[WEATHER], tool_choice={"type": ["function"]}),
    "tools to allow that are numbers": raw(
        tools=[WEATHER], tool_choice={"type": "allowed_tools", "tools": [5]}
    ),
    "a name that is an object": raw(tools=[{**WEATHER, "name": {}}]),
    "an effort that is a list": raw(reasoning={"effort": ["low"]}),
    "a summary that is an object": raw(reasoning={"summary": {}}),
    "a verbosity that is a list": raw(text={"verbosity": ["low"]}),
    "something to include that is an object": raw(include=[{}]),
    "a number that is none": raw(temperature=5).replace(b"5}", b"1e999}"),
    "a large number": raw(max_output_tokens=2**63),
    "an unknown field": raw(**{"x" * 5_000: 1}),
    "a pattern that takes forever": raw(
        tools=[{**WEATHER, "parameters": {"type": "string", "pattern": "(a+)+" * 200}}]
    ),
    "a schema that goes round": raw(tools=[{**WEATHER, "parameters": LOOP}]),
    "an address to fetch": raw(
        input=[
            {"role": "user", "content": [{"type": "input_file", "file_url": "file:///etc/passwd"}]}
        ]
    ),
    "an image that is a number": raw(
        input=[{"role": "user", "content": [{"type": "input_image", "image_url": 5}]}]
    ),
    "a summary of another service": raw(input=[{"type": "compaction", "encrypted_content": "g"}]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(name: str) -> None:
    assert refusal(HOSTILE[name])


def test_many_calls_and_outputs_far_apart_take_no_square_of_time() -> None:
    """Outputs in the order of their calls, and backwards, with a message between."""
    for turned in (1, -1):
        calls = [call(str(n)) for n in range(4_000)]
        outputs = [result("x", str(n)) for n in range(4_000)][::turned]
        began = time.process_time()
        listed = [*calls, HI, *outputs]
        requests.read(a_caller(), {"model": "small", "input": listed}, 0, [], {})
        assert time.process_time() - began < 2


few = st.sampled_from(["a", "b"])
part = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "refusal", "input_image", "x"])},
    optional={
        "text": st.text(max_size=5) | json,
        "refusal": json,
        "image_url": st.just("data:image/png;base64,x") | json,
    },
)
item = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*items.ITEMS, "x"]) | json,
        "role": st.sampled_from(["user", "assistant", "system", "developer"]) | json,
        "content": st.text(max_size=5) | st.lists(part | json, max_size=3),
        "id": few | json,
        "call_id": few | json,
        "name": few | json,
        "arguments": st.sampled_from(["", "{}", "[", '{"a":1}']) | json,
        "input": st.text(max_size=5) | json,
        "output": st.text(max_size=5) | st.lists(part | json, max_size=3) | json,
        "summary": st.lists(part | json, max_size=2) | json,
        "encrypted_content": json,
    },
)


@given(
    listed=st.lists(item | json, max_size=6),
    more=st.dictionaries(
        st.sampled_from(
            ["tools", "tool_choice", "reasoning", "text", "include", "prompt", "stream", "metadata"]
        ),
        json,
        max_size=3,
    ),
)
@settings(max_examples=200, deadline=None)
def test_any_request_is_taken_or_refused(listed: Any, more: Any) -> None:
    refusal(orjson.dumps({**ASK, "input": listed, **more}, option=orjson.OPT_NON_STR_KEYS))


# Answers -----------------------------------------------------------------------------------------


@given(choice=whole_choice, message=json | whole_message, usage=json)
@settings(max_examples=200, deadline=None)
def test_any_whole_answer_is_a_response(choice: Any, message: Any, usage: Any) -> None:
    answer = {"model": "small", "choices": [{**choice, "message": message}], "usage": usage}
    frame = Frame(b"", 1, 0, Kind.BODY, orjson.dumps(answer))
    made = answers.response(frame, shape(PATCH))
    assert made["status"] in ("completed", "incomplete")
    assert len({item["id"] for item in made["output"]}) == len(made["output"]) > 0


@given(groups=groups_of_chunks)
@settings(max_examples=200, deadline=None)
def test_any_stream_is_a_sound_response(groups: list[list[Any]]) -> None:
    """Items begin and end in turns, each event is of the open one, and numbers have no gap."""
    writer, number, events = EventWriter(shape(PATCH)), 0, list[dict[str, Any]]()
    for n, group in enumerate(groups):
        number += len(group)
        blob = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        events += [data for _, data in read(writer.written(Frame(b"", 1, number, kind, blob)))]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["response"] == writer.response
    open_item, finished, grown = "", list[Any](), ""
    for event in events[2:-1]:
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert (open_item, event["output_index"]) == ("", len(finished))
                open_item, grown = event["item"]["id"], ""
            case "output_item.done":
                assert event["item"]["id"] == open_item
                finished.append(event["item"])
                open_item = ""
            case other:
                assert (event["item_id"], event["output_index"]) == (open_item, len(finished))
                if other.endswith(".delta"):
                    grown += event["delta"]
                elif other in ("output_text.done", "reasoning_text.done"):
                    assert event["text"] == grown
                    grown = ""
                elif other == "refusal.done":
                    assert event["refusal"] == grown
                    grown = ""
                elif other == "function_call_arguments.done":
                    assert event["arguments"] == (grown or "{}")
    assert (open_item, finished) == ("", writer.response["output"] if writer.response else None)
