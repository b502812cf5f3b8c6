"""Hostile requests and answers: a refusal that says why, or a sound result, and nothing else."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api.ollama import errors, fields, names, requests
from inference.api.ollama.lines import LineWriter, Shape, Timing
from inference.api.ollama.options import OPTIONS
from inference.codec.events import split
from inference.engines import KINDS
from inference.engines.base import EngineConfig
from inference.errors import ApiError, Cancelled
from inference.intake.access import allowed
from inference.stream.frames import Frame, Kind
from inference.validation import requests as validation
from inference.validation.requests import Form
from tests.inference.api.odd_answers import groups_of_chunks, json
from tests.inference.api.ollama.asking import ASK, HI, PROMPT, WEATHER, call, text_of
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


def check(raw: bytes, known: dict[str, fields.Field]) -> None:
    """Read a body as the endpoint of the fields does. Raises ApiError."""
    present = fields.checked(validation.parsed(raw), known)
    if known is fields.EMBED:
        requests.embed(a_caller(), {"input": "", **present})
        return
    names.name_in(present)
    if not present.get("messages" if known is fields.CHAT else "prompt"):
        return
    if known is fields.CHAT:
        made = requests.chat(a_caller(), present)
    else:
        made = requests.generate(a_caller(), present, len(raw))
    body = {**made.body, "stream": True, "stream_options": {"include_usage": True}}
    validation.checked(body, len(raw), made.form, ENGINE)
    ENGINE.prepare(body, chat=made.form is Form.CHAT)


def refusal(raw: bytes, known: dict[str, fields.Field] = fields.CHAT) -> ApiError | None:
    """Returns the refusal of a body; None if it is taken."""
    try:
        check(raw, known)
    except ApiError as refused:
        written = orjson.loads(errors.body(refused))
        assert refused.status == 400, written
        assert isinstance(written["error"], str)
        assert written["error"]
        return refused
    return None


def raw(**more: Any) -> bytes:
    return orjson.dumps({**ASK, **more})


def said(role: str = "user", **more: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": "x", **more}]


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": [value]}
    return value


def schema(**more: Any) -> dict[str, Any]:
    return {"type": "object", **more}


def tool(name: str = "f", /, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


LARGE = {**WEATHER["function"], "description": "x" * 1024}  # type: ignore[dict-item]
HOSTILE: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "nothing": b"",
    "a lone surrogate": raw(messages=said(content="MARK")).replace(b"MARK", b"\\ud800"),
    "a lone surrogate in a call": raw(
        messages=said("assistant", tool_calls=[call(a="MARK")])
    ).replace(b"MARK", b"\\udfff"),
    "bytes that are no UTF-8": raw(messages=said(content="MARK")).replace(b"MARK", b"\xff\xfe"),
    "deep brackets": b'{"model":"small","messages":' + b"[" * 100_000,
    "deep arguments": raw(messages=said("assistant", tool_calls=[call(a=nested(80))])),
    "a deep schema": raw(format=schema(properties=nested(80))),
    "deep options": raw(options={"stop": nested(80)}),
    "many messages": raw(messages=HI * 9_000),
    "many calls": raw(messages=said("assistant", tool_calls=[call()] * 20_001)),
    "many tools": raw(tools=[tool(f"t{n}") for n in range(5_000)]),
    "10 MB of tools": raw(
        tools=[{"type": "function", "function": {**LARGE, "name": f"t{n}"}} for n in range(9_000)]
    ),
    "tools of one name": raw(tools=[WEATHER, WEATHER]),
    "a tool that is a list": raw(tools=[[]]),
    "a function that is a list": raw(tools=[{"type": "function", "function": []}]),
    "a type of tools that is an object": raw(tools=[{**WEATHER, "type": {}}]),
    "messages that are an object": raw(messages={"role": "user"}),
    "a message that is a list": raw(messages=[[]]),
    "a role that is a list": raw(messages=[{"role": ["user"], "content": "x"}]),
    "content that is an object": raw(messages=said(content={"text": "x"})),
    "a call that is a list": raw(messages=said("assistant", tool_calls=[[]])),
    "an id that is a list": raw(messages=said("assistant", tool_calls=[{**call(), "id": ["a"]}])),
    "arguments that are a list": raw(
        messages=said("assistant", tool_calls=[{"function": {"name": "f", "arguments": []}}])
    ),
    "an id of a result that is a number": raw(messages=said("tool", tool_call_id=7)),
    "an image": raw(messages=said(images=["aGk="])),
    "images that are a text": raw(messages=said(images="file:///etc/passwd")),
    "a model that is a list": raw(model=["small"]),
    "options that are a list": raw(options=[1]),
    "an option that is an object": raw(options={"temperature": {}}),
    "a number that is none": raw(options={"num_predict": 64}).replace(b"64", b"1e999"),
    "a large number": raw(options={"num_predict": 2**63}),
    "a limit that is true": raw(options={"num_predict": True}),
    "a stream that is a text": raw(stream="yes"),
    "thinking that is a list": raw(think=["low"]),
    "a format that is a number": raw(format=7),
    "a keep_alive that is an object": raw(keep_alive={}),
    "a long keep_alive": raw(keep_alive="1" * 33),
    "an unknown field": raw(**{"x" * 5_000: 1}),
    "an unknown option": raw(options={"x" * 5_000: 1}),
    "a pattern that takes forever": raw(format=schema(pattern="(a+)+" * 200)),
    "a schema that goes round": raw(
        tools=[tool("f", **{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})]
    ),
}
OF_PROMPTS: dict[str, bytes] = {
    "a prompt that is a list": orjson.dumps({**PROMPT, "prompt": ["x"]}),
    "a prompt that is too long": orjson.dumps({**PROMPT, "prompt": "x " * 100_000}),
    "a template": orjson.dumps({**PROMPT, "template": "{{ .Prompt }}"}),
    "a context": orjson.dumps({**PROMPT, "context": [1, 2, 3]}),
    "a suffix that is a number": orjson.dumps({**PROMPT, "suffix": 7}),
    "a suffix that the engine lacks": orjson.dumps({**PROMPT, "suffix": "end"}),
    "a raw prompt with a system": orjson.dumps({**PROMPT, "raw": True, "system": "x"}),
    "tools for a prompt": orjson.dumps({**PROMPT, "tools": [WEATHER]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_chat_is_refused(name: str) -> None:
    assert refusal(HOSTILE[name])


@pytest.mark.parametrize("name", OF_PROMPTS)
def test_a_hostile_prompt_is_refused(name: str) -> None:
    assert refusal(OF_PROMPTS[name], fields.GENERATE)


any_call = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": st.just("f") | json, "arguments": json})},
    optional={"id": st.sampled_from(["a", "b"]) | json},
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "USER"])},
    optional={
        "content": st.text(max_size=5) | json,
        "thinking": st.text(max_size=5) | json,
        "tool_calls": st.lists(any_call | json, max_size=3) | json,
        "tool_call_id": st.sampled_from(["a", "b"]) | json,
        "tool_name": st.just("f") | json,
        "images": json,
    },
)
own_fields = st.dictionaries(
    st.sampled_from([*fields.CHAT, *fields.GENERATE, *fields.REFUSED]), json, max_size=3
)
own_options = st.dictionaries(st.sampled_from([*OPTIONS]), json)


@given(messages=st.lists(message | json, max_size=5), more=own_fields, options=own_options | json)
@settings(max_examples=200, deadline=None)
def test_any_chat_is_taken_or_refused(messages: Any, more: Any, options: Any) -> None:
    sent = {**ASK, "messages": messages, "options": options, **more, "model": "small"}
    refusal(orjson.dumps(sent, option=orjson.OPT_NON_STR_KEYS))


@given(more=own_fields, raw=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_prompt_is_taken_or_refused(more: Any, raw: bool) -> None:
    sent = {**PROMPT, "raw": raw, **more, "model": "small"}
    refusal(orjson.dumps(sent, option=orjson.OPT_NON_STR_KEYS), fields.GENERATE)


@given(inputs=json)
@settings(max_examples=100, deadline=None)
def test_any_input_is_taken_or_refused(inputs: Any) -> None:
    sent = {"model": "small", "input": inputs}
    refusal(orjson.dumps(sent, option=orjson.OPT_NON_STR_KEYS), fields.EMBED)


# Answers ------------------------------------------------------------------------------------------


@given(
    groups=groups_of_chunks,
    is_chat=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_stream_is_sound_lines(groups: list[list[Any]], is_chat: bool) -> None:
    """Lines with text, then one that is done, or an error; whole it is the same."""
    shape = Shape("small", is_chat=is_chat)
    streamed, heard = LineWriter(shape, Timing()), LineWriter(shape, Timing())
    number, lines = 0, list[dict[str, Any]]()
    for n, group in enumerate(groups):
        number += len(group)
        blob = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        frame = Frame(b"", 1, number, kind, blob)
        lines += [orjson.loads(line) for line in streamed.written(frame).splitlines()]
        heard.hear(split(frame.body))
    *parts, last = lines
    assert not any(part["done"] for part in parts)
    assert last["event"] == number
    if "error" in last:
        with pytest.raises(Cancelled):
            heard.whole()
        return
    assert last["done"]
    whole = orjson.loads(heard.whole())
    assert "".join(map(text_of, lines)) == text_of(whole)
