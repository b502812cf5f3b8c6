"""A request of the Messages API as the chat that the engine gets."""

import json
from typing import Any

import anthropic
import pytest

from inference.api.anthropic import requests, system
from inference.api.anthropic.answers import Thoughts
from inference.api.anthropic.fields import FIELDS, REFUSED
from inference.engines import KINDS
from inference.engines.base import Engine, EngineConfig
from inference.errors import ApiError, BadRequest
from inference.intake.access import allowed
from inference.validation import requests as validation
from inference.validation.requests import Form
from tests.inference.api.anthropic.asking import ASK, HI, WEATHER, call, result, text, turns
from tests.inference.callers import a_caller

pytestmark = pytest.mark.unit
CALLER = a_caller()
PNG = "iVBORw0KGgo="


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


def body(**fields: Any) -> dict[str, Any]:
    """Returns the chat of a request, after the checks that each chat gets."""
    chat = requests.chat(CALLER, {**ASK, **fields}).body
    return validation.checked(chat, 0, Form.CHAT, allowed.engine_for(CALLER, "small"))


def refusal(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        body(**fields)
    assert refused.value.status == 400, refused.value.message
    return refused.value


# Fields ------------------------------------------------------------------------------------------
def test_each_parameter_of_anthropics_sdk_has_its_place() -> None:
    params = anthropic.types.message_create_params
    names = set(params.MessageCreateParamsBase.__annotations__) | {"stream"}
    of_headers = {"user_profile_id", "workspace_id", "betas"}
    assert names - of_headers - FIELDS.keys() - REFUSED.keys() == set()


def test_sampling_limits_and_names_reach_the_engine() -> None:
    chat = body(
        temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["END"], metadata={"user_id": "u-1"}
    )
    assert chat == {
        "model": "small",
        "messages": HI,
        "max_tokens": 64,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END"],
        "user": "u-1",
    }


def test_an_answer_may_fill_the_rest_of_the_context() -> None:
    assert "max_tokens" not in body(max_tokens=32_000)
    assert body(max_tokens=8191)["max_tokens"] == 8191


def test_what_a_gateway_cannot_change_is_taken_without_effect() -> None:
    hints = {
        "cache_control": {"type": "ephemeral"},
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "service_tier": "auto",
        "diagnostics": {"previous_message_id": None},
        "speed": "standard",
        "tools": None,
        "mcp_servers": [],
    }
    assert body(**hints) == body()
    assert body(tools=[]) == body()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"metadata": {"user_id": 5}}, "metadata"),
        ({"metadata": {"name": "x"}}, "metadata"),
        ({"speed": "fast"}, "speed"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"name": "x"}]}, "mcp_servers"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 64}}, "thinking.budget_tokens"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 2048},
            "thinking.budget_tokens",
        ),
        ({"thinking": {"type": "adaptive", "display": "loud"}}, "thinking.display"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"verbosity": "low"}}, "output_config.verbosity"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [WEATHER]}, "tool_choice"),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}},
            "tool_choice.disable_parallel_tool_use",
        ),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{**WEATHER, "parameters": {}}]}, "tools[0].parameters"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ],
)
def test_a_field_that_nobody_would_honour_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param


def test_tools_and_the_choice_among_them() -> None:
    function = {
        "name": "get_weather",
        "parameters": WEATHER["input_schema"],
        "description": "The weather in a city.",
    }
    chat = body(tools=[{**WEATHER, "cache_control": {"type": "ephemeral"}}])
    assert chat["tools"] == [{"type": "function", "function": function}]
    named = {"type": "function", "function": {"name": "get_weather"}}
    for kind, expected in (
        ("auto", "auto"),
        ("any", "required"),
        ("none", "none"),
        ("tool", named),
    ):
        choice = {"type": kind, "name": "get_weather", "disable_parallel_tool_use": True}
        chat = body(tools=[WEATHER], tool_choice=choice)
        assert (chat["tool_choice"], chat["parallel_tool_calls"]) == (expected, False)
    assert "parallel_tool_calls" not in body(tools=[WEATHER], tool_choice={"type": "auto"})


@pytest.mark.parametrize("kind", ["auto", "none"])
def test_a_choice_among_no_tools_is_none(kind: str) -> None:
    """Agents send both fields always, and vLLM refuses a choice without tools."""
    chat = body(tools=[], tool_choice={"type": kind, "disable_parallel_tool_use": True})
    assert chat.keys().isdisjoint({"tools", "tool_choice", "parallel_tool_calls"})


def test_a_schema_for_the_answer_and_an_effort() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    config = {"effort": "max", "format": {"type": "json_schema", "schema": schema}}
    chat = body(output_config=config)
    assert chat["reasoning_effort"] == "high"
    assert chat["response_format"]["json_schema"] == {"name": "answer", "schema": schema}


# Thinking ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (
            "vllm",
            "http://x/v1",
            {
                "chat_template_kwargs": {
                    "enable_thinking": True,
                    "thinking": True,
                    "thinking_budget": 2048,
                }
            },
        ),
        ("deepseek", "https://api.deepseek.com", {"thinking": {"type": "enabled"}}),
        ("openai", "https://api.openai.com/v1", {"reasoning_effort": "low"}),
    ],
)
def test_thinking_in_the_words_of_the_engine(
    monkeypatch: pytest.MonkeyPatch, kind: str, url: str, expected: dict[str, Any]
) -> None:
    serve(monkeypatch, engine(kind, url=url))
    plain = body(max_tokens=4096)
    on = body(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 2048})
    assert {name: on[name] for name in on.keys() - plain.keys()} == expected
    off = body(thinking={"type": "disabled"})
    if kind == "vllm":
        assert off["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}


@pytest.mark.parametrize(
    ("thinking", "thoughts"),
    [
        (None, Thoughts.SHOWN),
        ({"type": "adaptive"}, Thoughts.SHOWN),
        ({"type": "adaptive", "display": "omitted"}, Thoughts.OMITTED),
        ({"type": "disabled"}, Thoughts.HIDDEN),
    ],
)
def test_what_is_shown_of_it(thinking: Any, thoughts: Thoughts) -> None:
    assert requests.chat(CALLER, {**ASK, "thinking": thinking}).thoughts is thoughts


def test_thinking_is_replayed_while_calls_go_on() -> None:
    thought = {"type": "thinking", "thinking": "It asks for Paris.", "signature": ""}
    before = ["Hello.", [thought, text("Hi.")], "Weather in Paris?"]
    loop = [[thought, {"type": "redacted_thinking", "data": "x"}, call(city="Paris")], [result()]]
    first, again = body(messages=turns(*before)), body(messages=turns(*before, *loop))
    assert not any("reasoning_content" in message for message in first["messages"])
    thoughts = [message.get("reasoning_content") for message in again["messages"]]
    assert thoughts == [None, None, None, "It asks for Paris.", None]


def test_openais_service_gets_no_thinking_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, engine("openai", url="https://api.openai.com/v1"))
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    chat = body(messages=turns("Weather?", [thought, call()], [result()]))
    assert not any("reasoning_content" in message for message in chat["messages"])


# The system prompt -------------------------------------------------------------------------------
BILLING = "x-anthropic-billing-header: cc_version=2.1.42.a1b; cc_entrypoint=cli; cch=0f3c1;"


@pytest.mark.parametrize(
    "prompt",
    [
        [text(BILLING), text("You are an agent."), text("Be brief.")],
        [text(f"{BILLING}\nYou are an agent."), text("Be brief.")],
        f"{BILLING}\n\nYou are an agent.\n\nBe brief.",
        [text("You are an agent."), {**text("Be brief."), "cache_control": {"type": "ephemeral"}}],
    ],
)
def test_the_block_that_changes_is_taken_out_of_the_system_prompt(prompt: Any) -> None:
    assert system.prompt(prompt) == "You are an agent.\n\nBe brief."


def test_a_word_about_billing_stays() -> None:
    assert system.prompt("Explain x-anthropic-billing-header.") != ""
    assert body(system=BILLING)["messages"] == HI


# Messages ----------------------------------------------------------------------------------------
def test_a_turn_with_a_call_and_its_result() -> None:
    chat = body(
        messages=turns(
            "Weather in Paris and Rome?",
            [text("I look."), call("a", city="Paris"), call("b", city="Rome")],
            [result("22", "a"), result([text("25"), text("dry")], "b"), text("And Oslo?")],
        )
    )
    calls = chat["messages"][1].pop("tool_calls")
    assert [json.loads(each["function"]["arguments"]) for each in calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    assert chat["messages"] == [
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {"role": "assistant", "content": "I look."},
        {"role": "tool", "tool_call_id": "a", "content": "22"},
        {"role": "tool", "tool_call_id": "b", "content": "25\n\ndry"},
        {"role": "user", "content": "And Oslo?"},
    ]


def test_a_result_that_is_an_error_or_empty() -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("no such city", {"is_error": True}, "Error: no such city"),
        (None, {}, ""),
        ([], {"is_error": False}, ""),
    ]
    for content, more, expected in cases:
        chat = body(messages=turns("Weather?", [call()], [result(content, **more)]))
        assert chat["messages"][-1]["content"] == expected


def test_turns_of_one_role_are_one_message() -> None:
    listed = [{"role": "user", "content": "a"}, {"role": "user", "content": [text("b")]}]
    assert body(messages=listed)["messages"] == [{"role": "user", "content": "a\n\nb"}]


def test_a_begun_answer_is_marked() -> None:
    last = body(messages=turns("The best answer?", "It is ("))["messages"][-1]
    assert last == {"role": "assistant", "content": "It is (", "prefix": True}


def test_a_system_message_between_others() -> None:
    listed = [*HI, {"role": "system", "content": [text("Be brief.")]}, *HI]
    assert [m["role"] for m in body(messages=listed)["messages"]] == ["user", "system", "user"]


def test_images_and_documents() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    note = {
        "type": "document",
        "title": "Notes",
        "source": {"type": "text", "media_type": "text/plain", "data": "Buy milk."},
    }
    hit = {"type": "search_result", "title": "T", "source": "s", "content": [text("Found.")]}
    (message,) = body(messages=turns([text("See"), image, note, hit]))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "text", "text": "Notes\nBuy milk."},
        {"type": "text", "text": "T\ns\nFound."},
    ]
    *_, tool, user = body(messages=turns("x", [call()], [result([image, text("a map")])]))[
        "messages"
    ]
    assert (tool["role"], tool["content"]) == ("tool", "a map")
    assert (user["role"], user["content"][0]["type"]) == ("user", "image_url")


def test_a_model_that_sees_nothing_refuses_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, engine(capabilities={"images": False}))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    error = refusal(messages=turns([image]))
    assert (error.code, error.param) == ("unsupported_value", "messages[0].content[0]")


def source(**fields: Any) -> list[dict[str, Any]]:
    return turns([{"type": "image", "source": fields}])


@pytest.mark.parametrize(
    ("listed", "param"),
    [
        ([{"role": "boss", "content": "hi"}], "messages[0].role"),
        ([5], "messages[0]"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        (turns([text("x"), {"type": "text"}]), "messages[0].content[1].text"),
        (turns([{"type": "video"}]), "messages[0].content[0]"),
        (turns([{"type": ["text"]}]), "messages[0].content[0]"),
        (turns(["text"]), "messages[0].content[0]"),
        (turns([call()]), "messages[0].content[0]"),  # by the user
        (turns("x", [result()]), "messages[1].content[0]"),  # by the assistant
        (turns([result()]), "messages[0].content[0].tool_use_id"),
        (turns("x", [call()], [result(identity="b")]), "messages[2].content[0].tool_use_id"),
        (turns("x", [call()], [result(), result()]), "messages[2].content[1].tool_use_id"),
        (turns("x", [call()], [{"type": "tool_result"}]), "messages[2].content[0].tool_use_id"),
        (turns("x", [call()], "22"), "messages[1].content[0]"),
        (turns("x", [call()]), "messages[1].content[0]"),
        (turns("x", [call(), call()], [result()]), "messages[1].content[1].id"),
        (turns("x", [{**call(), "input": "{}"}], [result()]), "messages[1].content[0].input"),
        (turns("x", [{**call(), "name": 5}], [result()]), "messages[1].content[0].name"),
        (turns("x", [call()], [result(5)]), "messages[2].content[0].content"),
        (turns("x", [call()], [result([result()])]), "messages[2].content[0].content[0]"),
        (source(type="url", url="http://10.0.0.1/x.png"), "messages[0].content[0].source"),
        (source(type="file", file_id="file_1"), "messages[0].content[0].source"),
        (source(), "messages[0].content[0].source"),
        (
            source(type="base64", media_type="image/tiff", data="x"),
            "messages[0].content[0].source.media_type",
        ),
    ],
)
def test_a_message_that_is_wrong_is_named_with_its_place(listed: Any, param: str) -> None:
    error = refusal(messages=listed)
    assert isinstance(error, BadRequest)
    assert (error.param, bool(error.message)) == (param, True)
