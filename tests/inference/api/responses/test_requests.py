"""A request of the Responses API as the chat that the engine gets."""

import time
from typing import Any

import openai
import pytest

from inference.api.responses import fields, opaque, requests
from inference.api.responses.fields import FIELDS, REFUSED
from inference.engines import KINDS
from inference.engines.base import Engine, EngineConfig
from inference.errors import ApiError
from inference.intake.access import allowed
from inference.validation import requests as validation
from inference.validation.requests import Form
from tests.inference.api.responses.asking import (
    ASK,
    HI,
    PATCH,
    WEATHER,
    call,
    result,
    text_item,
    thought,
)
from tests.inference.callers import a_caller

pytestmark = pytest.mark.unit
CALLER = a_caller()
PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def engine(kind: str = "vllm", **changes: Any) -> Engine:
    url = changes.pop("url", "http://x/v1")
    return KINDS[kind](EngineConfig("small", kind, url, "theirs", context_length=8192, **changes))


@pytest.fixture(autouse=True)
def own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, engine())


def serve(monkeypatch: pytest.MonkeyPatch, serving: Engine) -> None:
    """Serve the model `small` by this engine."""
    monkeypatch.setattr(allowed, "served", lambda: {"small": serving})
    monkeypatch.setattr(allowed, "check_residency", lambda caller, model: None)


def request(earlier: Any = (), references: Any = None, **more: Any) -> requests.ResponseRequest:
    present = fields.checked({**ASK, **more})
    return requests.read(CALLER, present, 0, list(earlier), references or {})


def body(**more: Any) -> dict[str, Any]:
    """Returns the chat of a request, after the checks that each chat gets."""
    chat = request(**more).body
    with requests.own_names():
        return validation.checked(chat, 0, Form.CHAT, allowed.engine_for(CALLER, "small"))


def messages(*items: Any, **more: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = body(input=[*items], **more)["messages"]
    return listed


def refusal(**more: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        body(**more)
    assert refused.value.status == 400, refused.value.message
    return refused.value


# Fields ------------------------------------------------------------------------------------------
def test_each_parameter_of_openais_sdk_has_its_place() -> None:
    params = openai.types.responses.response_create_params
    names = set(params.ResponseCreateParamsBase.__annotations__) | {"stream"}
    unserved = {"access_programs", "background_options", "image"}  # of OpenAI's own models
    assert names - unserved - FIELDS.keys() - REFUSED.keys() == set()


def test_a_text_is_a_message_of_the_user() -> None:
    assert body() == {"model": "small", "messages": [HI]}


def test_sampling_and_limits_reach_the_engine() -> None:
    chat = body(
        instructions="Be brief.",
        max_output_tokens=64,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        user="u-1",
    )
    assert chat == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be brief."}, HI],
        "max_tokens": 64,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "user": "u-1",
    }


def test_an_answer_may_fill_the_rest_of_the_context() -> None:
    assert "max_tokens" not in body(max_output_tokens=32_000)
    assert body(max_output_tokens=8191)["max_tokens"] == 8191


def test_what_a_gateway_cannot_change_is_taken_without_effect() -> None:
    hints = {
        "truncation": "auto",
        "max_tool_calls": 3,
        "metadata": {"a": "b"},
        "prompt_cache_key": "session-1",
        "prompt_cache_retention": "24h",
        "safety_identifier": "x",
        "service_tier": "auto",
        "stream_options": {"include_obfuscation": False},
        "context_management": [{"type": "compaction", "compact_threshold": 1000}],
        "client_metadata": {"x": "y"},
        "include": ["web_search_call.action.sources"],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "conversation": None,
    }
    assert body(**hints) == body()


def test_the_format_of_the_text() -> None:
    form = {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}
    inner = {"name": "city", "schema": SCHEMA, "strict": True}
    assert body(text={"format": form})["response_format"] == {
        "type": "json_schema",
        "json_schema": inner,
    }
    assert body(text={"format": {"type": "json_object"}})["response_format"] == {
        "type": "json_object"
    }
    assert request(text={"format": form}).head["text"]["format"] == {**form, "description": None}


def test_probabilities_are_asked_of_the_engine() -> None:
    chat = body(include=["message.output_text.logprobs"], top_logprobs=3)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)
    assert "logprobs" not in body(top_logprobs=3)


def test_the_effort() -> None:
    assert body(reasoning={"effort": "low", "summary": "auto"})["reasoning_effort"] == "low"
    none = body(reasoning={"effort": "none"})
    assert none["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    assert request(reasoning={"generate_summary": "detailed"}).head["reasoning"] == {
        "effort": None,
        "summary": "detailed",
    }


def test_a_prompt_template() -> None:
    prompt = {"id": "greeting", "version": "3", "variables": {"who": "Alice"}}
    chat = request(prompt=prompt).body
    assert (chat["template"], chat["variables"]) == ("greeting@3", {"who": "Alice"})
    alone = requests.read(CALLER, {"model": "small", "prompt": {"id": "greeting"}}, 0, [], {}).body
    assert alone == {"model": "small", "template": "greeting"}


def test_what_a_response_says_of_its_request() -> None:
    head = request(temperature=0.5, metadata={"a": "b"}, tools=[WEATHER]).head
    assert (head["temperature"], head["top_p"], head["metadata"]) == (0.5, 1, {"a": "b"})
    assert (head["store"], head["truncation"], head["tools"]) == (True, "disabled", [WEATHER])
    assert head["text"] == {"format": {"type": "text"}, "verbosity": "medium"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": 5}, "model"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": None}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [HI, {"role": "boss", "content": "x"}]}, "input[1].role"),
        ({"input": [{"role": "user", "content": []}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "system", "content": [{"type": "input_image"}]}]}, None),
        ({"input": [{"type": "x"}]}, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "gAAA"}]}, None),
        ({"input": [HI] * 9000}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"max_output_tokens": 10**9}, "max_output_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": ["x"]}, "include"),
        ({"include": "reasoning.encrypted_content"}, "include"),
        ({"truncation": "middle"}, "truncation"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"metadata": {"a": 5}}, "metadata"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"stop": ["x"]}, "stop"),
        ({"n": 2}, "n"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"form": {}}}, "text.form"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"effort": ["low"]}}, "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"reasoning": {"budget": 5}}, "reasoning.budget"),
        ({"prompt": {"id": ""}}, "prompt.id"),
        ({"prompt": {"id": "a", "version": 3}}, "prompt.version"),
        ({"prompt": {"name": "a"}}, "prompt.name"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{**WEATHER, "parameters": "x"}]}, "tools[0].parameters"),
        ({"tools": [{**WEATHER, "strict": 1}]}, "tools[0].strict"),
        ({"tools": [{**WEATHER, "format": {}}]}, "tools[0].format"),
        ({"tools": [{**PATCH, "format": {"type": "grammar"}}]}, "tools[0].format"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "x"}, "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}, "tools": [WEATHER]}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools"}, "tools": [WEATHER]}, "tool_choice.tools"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], param: str | None) -> None:
    error = refusal(**more)
    assert param is None or error.param == param
    assert error.message


def test_errors_of_a_chats_checks_name_the_fields_of_this_api() -> None:
    schema = {"type": "string", "$ref": "http://x"}
    form = {"type": "json_schema", "schema": schema}
    error = refusal(text={"format": form})
    assert error.param == "text.format"
    assert "`text.format" in error.message


# Items -------------------------------------------------------------------------------------------
def test_a_conversation_with_calls() -> None:
    listed = messages(
        text_item("user", "The weather?"),
        call(),
        result(),
        text_item("assistant", "22."),
        text_item("user", "Ok"),
    )
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    assert listed == [
        {"role": "user", "content": "The weather?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"},
        {"role": "assistant", "content": "22."},
        {"role": "user", "content": "Ok"},
    ]


def test_items_may_lack_what_clients_leave_out() -> None:
    """Replayed messages without a type, an id, or a status."""
    full = messages(HI, {**text_item("assistant", "Hi."), "id": "msg_1", "status": "completed"}, HI)
    assert full == messages(HI, {"role": "assistant", "content": "Hi."}, HI)
    annotated: dict[str, Any] = {
        "type": "output_text",
        "text": "Hi.",
        "annotations": [],
        "logprobs": None,
    }
    phased = {"role": "assistant", "content": [annotated], "phase": "final_answer"}
    assert messages(HI, phased, HI) == full


def test_what_follows_each_other_is_one_turn() -> None:
    listed = messages(
        text_item("developer", "One."),
        text_item("user", "a"),
        text_item("user", "b"),
        text_item("assistant", "c"),
        call("call_1"),
        call("call_2"),
        result("1", "call_1"),
        result("2", "call_2"),
        instructions="Zero.",
    )
    roles = [message["role"] for message in listed]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert listed[0]["content"] == "Zero.\n\nOne."
    assert (listed[1]["content"], listed[2]["content"]) == ("a\n\nb", "c")
    assert len(listed[2]["tool_calls"]) == 2


def test_a_result_stands_behind_its_call_wherever_the_client_has_it() -> None:
    listed = messages(HI, call("a"), call("b"), result("2", "b"), HI, result("1", "a"))
    assert [m["role"] for m in listed] == ["user", "assistant", "tool", "tool", "user"]
    in_turns = messages(HI, call("a"), result("1", "a"), call("b"), result("2", "b"))
    assert [m["role"] for m in in_turns] == ["user", "assistant", "tool", "assistant", "tool"]


def test_an_id_may_come_again_once_its_call_has_a_result() -> None:
    assert len(messages(HI, call(), result(), call(), result())) == 5


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([HI, call()], "No tool output found for function call call_1"),
        ([HI, result()], "No tool call found for function call output with call_id call_1"),
        ([HI, call(), result(), result()], "No tool call found"),
        ([HI, call(), call(), result()], "call_id"),
        ([HI, call(""), result("", "")], "call_id"),
    ],
)
def test_calls_and_results_belong_together(listed: list[Any], words: str) -> None:
    assert words in refusal(input=listed).message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a":1}', '{"a":1}'),
        ("", "{}"),
        ("[1]", '{"INVALID_JSON":"[1]"}'),
        ("{", '{"INVALID_JSON":"{"}'),
    ],
)
def test_arguments_that_are_no_object_stay_readable(arguments: str, expected: str) -> None:
    sent = messages(HI, call(arguments=arguments), result())[1]["tool_calls"][0]["function"]
    assert sent["arguments"] == expected


def test_results_with_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"type": "input_image", "image_url": PNG, "detail": "high"}
    text = {"type": "input_text", "text": "A picture:"}
    listed = messages(HI, call(), result([text, image]), call("b"), result([], "b"))
    assert [m["role"] for m in listed] == ["user", "assistant", "tool", "user", "assistant", "tool"]
    assert (listed[2]["content"], listed[5]["content"]) == ("A picture:", "")
    assert listed[3]["content"] == [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}
    ]


def test_images_and_files() -> None:
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,x"}
    words = {"type": "input_text", "text": "What is it?"}
    image = {"type": "input_image", "image_url": PNG}
    with pytest.raises(ApiError):
        messages({"role": "user", "content": [words, file]})
    listed = messages({"role": "user", "content": [words, image]})
    assert listed[0]["content"][1] == {"type": "image_url", "image_url": {"url": PNG}}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "input_image", "image_url": "file:///etc/passwd"},
        {"type": "input_image", "file_id": "file-1"},
    ],
)
def test_nothing_is_fetched(part: dict[str, Any]) -> None:
    error = refusal(input=[{"role": "user", "content": [part]}])
    assert (error.code, error.param) == ("address_not_fetched", "input[0].content[0].image_url")


# Reasoning ---------------------------------------------------------------------------------------
def test_thoughts_go_with_the_calls_that_go_on() -> None:
    before = [
        text_item("user", "x"),
        thought("Old."),
        text_item("assistant", "y"),
        text_item("user", "z"),
    ]
    listed = messages(*before, thought("New."), call(), result())
    assert [m.get("reasoning_content") for m in listed] == [None, None, None, "New.", None]


def test_thoughts_that_were_packed_or_summed_up() -> None:
    packed = {"type": "reasoning", "summary": [], "encrypted_content": opaque.packed("Hm.")}
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "So."}]}
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABm"}
    listed = messages(HI, packed, summary, foreign, call(), result())
    assert listed[1]["reasoning_content"] == "Hm.\n\nSo."


def test_a_model_that_does_not_read_thoughts_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, engine("openai", url="https://api.openai.com/v1"))
    assert "reasoning_content" not in messages(HI, thought(), call(), result())[1]


def test_a_summary_of_a_compaction() -> None:
    item = {"type": "compaction", "encrypted_content": opaque.packed("We fixed it.")}
    (message,) = messages(item, HI)
    assert message["content"] == "Summary of the conversation so far:\n\nWe fixed it.\n\nSay hi."


def test_earlier_items_come_first_and_references_are_looked_up() -> None:
    earlier = [HI, {**text_item("assistant", "Hi."), "id": "msg_1"}]
    first = request(earlier, input="And?").body["messages"]
    assert [m["content"] for m in first] == ["Say hi.", "Hi.", "And?"]
    named = {"msg_1": earlier[1]}
    listed = [HI, {"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "And?"}]
    assert request(references=named, input=listed).body["messages"] == first
    assert (
        request(references=named, input=[HI, {"id": "msg_1"}, listed[2]]).body["messages"] == first
    )


# Tools -------------------------------------------------------------------------------------------
def test_a_function() -> None:
    chat = body(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    names = ("name", "description", "parameters", "strict")
    function = {name: WEATHER[name] for name in names}
    assert chat["tools"] == [{"type": "function", "function": function}]
    assert (chat["tool_choice"], chat["parallel_tool_calls"]) == ("required", False)
    assert request(tools=[{"type": "function", "name": "f"}]).head["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": None,
            "parameters": None,
            "strict": None,
        }
    ]


def test_a_tool_that_must_be_called() -> None:
    named = {"type": "function", "name": "get_weather"}
    chat = body(tools=[WEATHER, PATCH], tool_choice=named)
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    allowed_ones = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    chat = body(tools=[WEATHER, PATCH], tool_choice=allowed_ones)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["get_weather"]
    assert chat["tool_choice"] == "required"


def test_many_allowed_tools_take_little_work() -> None:
    """Of processor time: all else waits for it."""
    tools = [{"type": "function", "name": f"f{n}"} for n in range(5_000)]
    choice = {"type": "allowed_tools", "tools": [tools[-1]] * 5_000}
    began = time.process_time()
    (own,) = request(tools=tools, tool_choice=choice).body["tools"]
    assert time.process_time() - began < 0.5
    assert own["function"]["name"] == "f4999"
    wrong = {"type": "allowed_tools", "tools": [{"type": "function", "name": []}]}
    assert refusal(tools=[WEATHER], tool_choice=wrong).param == "tool_choice.tools[0]"


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    (tool,) = body(tools=[{**PATCH, "format": grammar}])["tools"]
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert tool["function"]["description"].startswith("Edits files.")
    assert "start: /x/" in tool["function"]["description"]
    made = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** x"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}
    listed = messages(HI, made, output)
    assert listed[1]["tool_calls"][0]["function"]["arguments"] == '{"input":"*** x"}'
    assert listed[2]["content"] == "done"


def test_a_search_that_agents_send_by_default_is_left_out() -> None:
    search = {"type": "web_search", "external_web_access": False}
    both = request(tools=[search, WEATHER])
    assert len(both.body["tools"]) == 1
    assert both.head["tools"] == [WEATHER]
    assert "tools" not in request(tools=[search], tool_choice="auto").body
