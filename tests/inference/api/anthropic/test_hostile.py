"""Hostile requests and answers: a refusal that says why, or a sound result, and nothing else."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api.anthropic import answers, errors, requests
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.events import EventWriter
from inference.engines import KINDS
from inference.engines.base import EngineConfig
from inference.errors import ApiError
from inference.intake.access import allowed
from inference.stream.frames import Frame, Kind
from inference.validation import requests as validation
from inference.validation.requests import Form
from tests.inference.api.anthropic.asking import ASK, HI, WEATHER, call, result, text, turns
from tests.inference.api.anthropic.test_events import read
from tests.inference.api.odd_answers import groups_of_chunks, json, whole_choice, whole_message
from tests.inference.callers import a_caller
from tests.inference.orders import an_order

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
    """Returns the refusal of a body; None if it is taken."""
    try:
        chat = requests.chat(a_caller(), validation.parsed(raw)).body
        validation.checked(chat, len(raw), Form.CHAT, ENGINE)
    except ApiError as refused:
        written = orjson.loads(errors.body(refused))
        assert (written["type"], refused.status) == ("error", 400), written
        assert written["error"]["message"]
        return refused
    return None


def raw(**fields: Any) -> bytes:
    return orjson.dumps({**ASK, **fields})


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [{"type": "tool_result", "tool_use_id": "a", "content": value}]
    return value


LARGE_TOOL = {**WEATHER, "description": "x" * 1024}
HOSTILE: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "a lone surrogate": raw(messages=turns("MARK")).replace(b"MARK", b"\\ud800"),
    "a lone surrogate in a call": raw(messages=turns("x", [call(a="MARK")], [result()])).replace(
        b"MARK", b"\\udfff"
    ),
    "bytes that are no UTF-8": raw(messages=turns("MARK")).replace(b"MARK", b"\xff\xfe"),
    "deep results": raw(messages=turns("x", [call("a")], nested(100))),
    "results in results": raw(messages=turns("x", [call("a")], nested(3))),
    "deep brackets": b'{"model":"small","max_tokens":1,"messages":' + b"[" * 100_000,
    "deep input": raw(messages=turns("x", [{**call(), "input": {"a": nested(80)}}], [result()])),
    "many messages": raw(messages=HI * 9_000),
    "many blocks": raw(messages=turns([text("")] * 30_000)),
    "many calls without results": raw(messages=turns("x", [call(str(n)) for n in range(5_000)])),
    "many tools": raw(tools=[{**WEATHER, "name": f"t{n}"} for n in range(5_000)]),
    "10 MB of tools": raw(tools=[{**LARGE_TOOL, "name": f"t{n}"} for n in range(9_000)]),
    "tools of one name": raw(tools=[WEATHER, WEATHER]),
    "duplicate ids of calls": raw(messages=turns("x", [call(), call()], [result()])),
    "a result without a call": raw(messages=turns([result()])),
    "two results of a call": raw(messages=turns("x", [call()], [result(), result()])),
    "an unknown block": raw(messages=turns([{"type": "server_tool_use", "id": "x"}])),
    "a block without a type": raw(messages=turns([{"text": "x"}])),
    "a type that is a list": raw(messages=turns([{"type": ["text"], "text": "x"}])),
    "a role that is a list": raw(messages=[{"role": ["user"], "content": "x"}]),
    "a type of tools that is an object": raw(tools=[{**WEATHER, "type": {}}]),
    "a choice that is a list": raw(tools=[WEATHER], tool_choice={"type": ["auto"]}),
    "thinking that is a list": raw(thinking={"type": ["enabled"]}),
    "an effort that is a list": raw(output_config={"effort": ["low"]}),
    "a number that is none": raw().replace(b'"max_tokens":64', b'"max_tokens":1e999'),
    "a large number": raw(max_tokens=2**63),
    "an unknown field": raw(**{"x" * 5_000: 1}),
    "a pattern that takes forever": raw(
        tools=[{**WEATHER, "input_schema": {"type": "string", "pattern": "(a+)+" * 200}}]
    ),
    "a schema that goes round": raw(
        tools=[
            {
                **WEATHER,
                "input_schema": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            }
        ]
    ),
    "an address to fetch": raw(
        messages=turns(
            [{"type": "document", "source": {"type": "url", "url": "file:///etc/passwd"}}]
        )
    ),
    "an address as data": raw(
        messages=turns(
            [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": 5}}]
        )
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(name: str) -> None:
    assert refusal(HOSTILE[name])


kinds = st.sampled_from(
    ["text", "image", "document", "tool_use", "tool_result", "thinking", "search_result", "x"]
)
block = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "text": st.text(max_size=5) | json,
        "id": st.sampled_from(["a", "b"]) | json,
        "tool_use_id": st.sampled_from(["a", "b"]) | json,
        "name": st.sampled_from(["f"]) | json,
        "input": st.dictionaries(st.text(max_size=3), json, max_size=2) | json,
        "content": json,
        "source": json,
        "thinking": st.text(max_size=5) | json,
        "is_error": json,
    },
)
message = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.text(max_size=5) | st.lists(block | json, max_size=4),
    }
)


@given(
    messages=st.lists(message | json, max_size=5),
    more=st.dictionaries(
        st.sampled_from(
            ["system", "tools", "tool_choice", "thinking", "output_config", "metadata", "stream"]
        ),
        json,
        max_size=3,
    ),
)
@settings(max_examples=200, deadline=None)
def test_any_request_is_taken_or_refused(messages: Any, more: Any) -> None:
    refusal(orjson.dumps({**ASK, "messages": messages, **more}, option=orjson.OPT_NON_STR_KEYS))


# Answers -----------------------------------------------------------------------------------------


@given(choice=whole_choice, message=json | whole_message, usage=json)
@settings(max_examples=200, deadline=None)
def test_any_whole_answer_is_a_message(choice: Any, message: Any, usage: Any) -> None:
    answer = {"model": "small", "choices": [{**choice, "message": message}], "usage": usage}
    frame = Frame(b"", 1, 0, Kind.BODY, orjson.dumps(answer))
    made = orjson.loads(answers.message(frame, an_order(), Thoughts.SHOWN))
    assert made["type"] == "message"
    assert all(isinstance(block.get("text", ""), str) for block in made["content"])
    assert all(isinstance(block.get("input", {}), dict) for block in made["content"])


@given(groups=groups_of_chunks)
@settings(max_examples=200, deadline=None)
def test_any_stream_is_a_sound_message(groups: list[list[Any]]) -> None:
    """Blocks begin and end in turns, and each delta is in the open one."""
    writer, number, events = EventWriter("msg_1", None), 0, list[dict[str, Any]]()
    for n, group in enumerate(groups):
        number += len(group)
        blob = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        events += [data for _, data in read(writer.written(Frame(b"", 1, number, kind, blob), "r"))]
    assert events[-1]["type"] in ("message_stop", "error")
    started, block, count = False, None, 0
    for event in events:
        match event["type"]:
            case "message_start":
                assert not started
                started = True
            case "content_block_start":
                assert started
                assert (block, event["index"]) == (None, count)
                block, count = event["index"], count + 1
            case "content_block_delta":
                assert event["index"] == block
            case "content_block_stop":
                assert event["index"] == block
                block = None
            case "message_delta" | "message_stop":
                assert started
                assert block is None
