"""Each parameter of OpenAI's reference is honoured, passed on, or refused by its name."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from inference.engines import KINDS
from inference.engines.base import Engine, EngineConfig
from inference.engines.fields import HINTS, SERVICE
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.errors import BadRequest
from inference.validation import requests
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
_SCRIPT = Path(__file__).parents[3] / "docs" / "write_parameters.py"
REFUSED = runpy.run_path(str(_SCRIPT))["REFUSED"]
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TENANT = uuid4()
AT_OPENAI = "https://api.openai.com/v1"


def engine(kind: type[Engine] = OpenAIEngine, url: str = "http://x/v1") -> Engine:
    return kind(EngineConfig("smol", "openai", url, "smol", context_length=2048, hosted=True))


LOCAL, SERVED, LLAMA = engine(), engine(url=AT_OPENAI), engine(LlamaCppEngine)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "smol", "messages": list(HELLO), **fields}


def refusal(engine: Engine, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        requests.check_chat(chat(**fields), engine)
    return refused.value


def parameters(params: Any) -> set[str]:
    mine: set[str] = set()
    for base in params.CompletionCreateParamsBase.__mro__:
        mine |= getattr(base, "__annotations__", {}).keys()
    return mine | {"stream"}


# The table ---------------------------------------------------------------------------------------
def test_each_parameter_of_openais_sdk_has_its_place() -> None:
    for params, is_chat in ((chat_create_params, True), (completion_create_params, False)):
        known = SERVED.fields(chat=is_chat).keys() | HINTS.keys() | set(REFUSED)
        assert parameters(params) - known == set()
    for name in REFUSED:
        assert refusal(SERVED, **{name: "x"}).param == name


def test_the_table_in_the_docs_is_the_one_that_validates() -> None:
    path, text = runpy.run_path(str(_SCRIPT))["written"]()
    assert path.read_text() == text, "python docs/write_parameters.py"
    for name in HINTS.keys() | SERVICE.keys() | set(REFUSED):
        assert f"`{name}`" in text


# Hints -------------------------------------------------------------------------------------------
USUAL: list[dict[str, Any]] = [
    {"store": False},
    {"service_tier": "auto"},
    {"service_tier": "default"},
    {"metadata": {f"key {n}": "v" * 512 for n in range(16)}},
    {"metadata": {"k" * 64: ""}},
    {"user": "alice"},
    {"safety_identifier": "5f2b"},
    {"prompt_cache_key": "conversation-1"},
    {"prompt_cache_retention": "in_memory"},
    {"verbosity": "medium"},
    {"reasoning_effort": "medium"},
    {"tools": [TOOL], "parallel_tool_calls": True, "tool_choice": "auto"},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {"modalities": ["text"]},
    dict.fromkeys(SERVICE | HINTS),
]


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("fields", USUAL)
def test_what_clients_send_by_themselves_is_taken(kind: type[Engine], fields: Any) -> None:
    requests.check_chat(chat(**fields), engine(kind))


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"store": 0},
        {"service_tier": "priority"},
        {"service_tier": "flex"},
        {"service_tier": ["auto"]},
        {"metadata": "x"},
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {"k": 1}},
        {"metadata": {str(n): "v" for n in range(17)}},
        {"verbosity": "low"},
        {"verbosity": "loud"},
        {"safety_identifier": "x" * 129},
        {"prompt_cache_key": 5},
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "explicit"}},
        {"prediction": {"type": "content", "content": "x"}},
        {"moderation": {"mode": "block"}},
        {"moderation": {"model": "omni-moderation-latest"}},
        {"reasoning_effort": "hard"},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"functions": [{"name": "f"}]},
        {"web_search_options": {}},
        {"stop": ""},
        {"stop": ["a", ""]},
        {"logit_bias": {"50": 101}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"4294967296": 1}},
        {"logit_bias": {"word": 1}},
        {"top_logprobs": 3},
        {"top_logprobs": 3, "logprobs": False},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
        {"stream": True, "stream_options": {"include_usage": "yes"}},
    ],
)
@pytest.mark.parametrize("engine", [LOCAL, LLAMA, engine(KINDS["vllm"]), engine(KINDS["deepseek"])])
def test_what_nobody_would_honour_is_refused(engine: Engine, fields: Any) -> None:
    error = refusal(engine, **fields)
    assert (error.status, error.param in fields) == (400, True)


# OpenAI's own service ----------------------------------------------------------------------------
ITS_OWN = {
    "verbosity": "low",
    "moderation": {"model": "omni-moderation-latest", "policy": {"input": {"mode": "block"}}},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
}


@pytest.mark.parametrize(
    "url",
    [
        AT_OPENAI,
        "https://eu.api.openai.com/v1",
        "https://acme.openai.azure.com/openai/v1",
        "https://acme.services.ai.azure.com/openai/v1",
        "https://acme.cognitiveservices.azure.com/openai/v1",
    ],
)
def test_openais_service_gets_what_it_alone_honours(url: str) -> None:
    service = engine(url=url)
    body = chat(**ITS_OWN)
    requests.check_chat(body, service)
    assert ITS_OWN.items() <= service.prepare(body, chat=True).items()
    for name, value in (("store", True), ("service_tier", "priority"), ("verbosity", "loud")):
        assert refusal(service, **{name: value}).param == name


@pytest.mark.parametrize("url", ["https://api.openai.com.evil.example/v1", "http://openai/v1"])
def test_nobody_else_is_taken_for_openais_service(url: str) -> None:
    assert refusal(engine(url=url), verbosity="low").param == "verbosity"


def sent(
    engine: Engine, fields: dict[str, Any], *, chat: bool = True, tenant: UUID = TENANT
) -> dict[str, Any]:
    body = orjson.dumps(engine.prepare({"model": "smol", **fields}, chat=chat))
    order = an_order(body=body, chat=chat, tenant_id=tenant)
    outgoing: dict[str, Any] = orjson.loads(engine.outgoing(order))
    return outgoing


def test_its_chats_are_limited_in_the_words_that_all_of_its_models_take() -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        fields = {"messages": HELLO, name: 5}
        body = sent(SERVED, dict(fields))
        assert (body.get("max_tokens"), body["max_completion_tokens"]) == (None, 5)
        assert sent(LOCAL, dict(fields))["max_tokens"] == 5
    assert sent(SERVED, {"prompt": "x", "max_tokens": 5}, chat=False)["max_tokens"] == 5


def test_it_learns_no_name_of_a_tenants_users() -> None:
    names = {"user": "alice@example.com", "safety_identifier": "alice", "prompt_cache_key": "a"}
    first, again = (sent(SERVED, {"messages": HELLO, **names}) for _ in range(2))
    other = sent(SERVED, {"messages": HELLO, **names}, tenant=uuid4())
    for name, plain in names.items():
        assert len({first[name], other[name], plain}) == 3
        assert (first[name], len(first[name])) == (again[name], 64)


# Tools and formats -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": "required", "tools": []},
        {"tool_choice": "any", "tools": [TOOL]},
        {"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": [TOOL]},
        {"tool_choice": {"type": "function"}, "tools": [TOOL]},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": {}, "tools": [TOOL]},
    ],
)
@pytest.mark.parametrize("kind", [KINDS["llama_cpp"], KINDS["vllm"], KINDS["sglang"]])
def test_a_choice_of_a_tool_that_is_not_there_is_refused(kind: type[Engine], fields: Any) -> None:
    assert refusal(engine(kind), **fields).param in ("tool_choice", "tool_choice.type")
    good = {"type": "function", "function": {"name": "f"}}
    requests.check_chat(chat(tools=[TOOL], tool_choice=good), engine(kind))
    requests.check_chat(chat(tools=[TOOL], tool_choice="required"), engine(kind))
    requests.check_chat(chat(tool_choice="none"), engine(kind))


@pytest.mark.parametrize(
    ("function", "param"),
    [
        (None, "tools[0].function"),
        ({}, "tools[0].function.name"),
        ({"name": 5}, "tools[0].function.name"),
        ({"name": "a b"}, "tools[0].function.name"),
        ({"name": "f", "parameters": 123}, "tools[0].function.parameters"),
        ({"name": "f", "description": 1}, "tools[0].function.description"),
        ({"name": "f", "strict": "yes"}, "tools[0].function.strict"),
    ],
)
def test_a_function_is_told_what_is_wrong_with_it(function: Any, param: str) -> None:
    assert refusal(LOCAL, tools=[{"type": "function", "function": function}]).param == param


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object", "schema": 123},
        {"type": "json_schema", "json_schema": 123},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": 123}},
        {"type": "json_schema", "json_schema": {"name": "x"}},
        {"type": "json_schema", "json_schema": {"schema": {}, "strict": "yes"}},
        {"type": "text", "grammar": "x"},
    ],
)
def test_a_format_without_a_sound_schema_is_refused(form: Any) -> None:
    for each in (LOCAL, LLAMA):
        assert refusal(each, response_format=form).param == "response_format"


def strict(schema: Any) -> Iterator[dict[str, Any]]:
    inner = {"name": "x", "schema": schema, "strict": True}
    yield {"response_format": {"type": "json_schema", "json_schema": inner}}
    function = {"name": "f", "parameters": schema, "strict": True}
    yield {"tools": [{"type": "function", "function": function}]}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (of(x={"type": "number", "minimum": 1}), "`minimum` of anything but an integer"),
        (of(x={"type": "array", "items": {"type": "string"}, "uniqueItems": True}), "uniqueItems"),
        (of(x={"not": {"type": "string"}}), "`not`"),
        (of(x={"oneOf": [{"type": "string"}]}), "`oneOf`"),
        (of(x={"type": "integer", "multipleOf": 2}), "multipleOf"),
        (of(x={"type": "string", "format": "email"}), "the format `email`"),
        (of(x={"type": "string", "pattern": "^a$", "minLength": 3}), "`minLength` beside"),
        (of() | {"anyOf": [{"required": ["x"]}]}, "beside `anyOf`"),
        (of() | {"required": ["x"]}, "`required` of `x`"),
        ({"$ref": "#/$defs/a", "$defs": {"a": of(x={"contains": {}})}}, "contains"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "patternProperties"),
        ({"type": "object", "if": {}, "then": {}}, "`if`"),
    ],
)
def test_a_strict_schema_that_llama_cpp_cannot_enforce_is_refused(schema: Any, word: str) -> None:
    for fields in strict(schema):
        error = refusal(LLAMA, **fields)
        assert (error.code, word in error.message) == ("unsupported_value", True), error.message
        requests.check_chat(chat(**fields), LOCAL)
        form = fields.get("response_format")
        (form["json_schema"] if form else fields["tools"][0]["function"])["strict"] = False
        requests.check_chat(chat(**fields), LLAMA)


def test_a_strict_schema_as_pydantic_makes_it_is_taken() -> None:
    city = of(
        name={"type": "string", "title": "Name", "description": "not it", "maxLength": 12},
        kind={"enum": ["a", "b"], "type": "string"},
        population={"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": 1},
        at={"type": "string", "format": "date-time"},
        near={"type": "array", "items": {"$ref": "#/$defs/city"}, "maxItems": 3},
    )
    city["properties"]["not"] = {"type": "boolean"}
    schema = {**city, "required": list(city["properties"]), "$defs": {"city": city}}
    for fields in strict(schema):
        requests.check_chat(chat(**fields), LLAMA)


@pytest.mark.parametrize("properties", [[{}], 5, True, "a"])
def test_strict_properties_that_are_no_object_are_the_clients_mistake(properties: Any) -> None:
    for fields in strict({"type": "object", "properties": properties, "required": ["name"]}):
        error = refusal(LLAMA, **fields)
        assert "`required` of `name`" in error.message


# Refusals of an assistant ------------------------------------------------------------------------
PART = {"type": "refusal", "refusal": "I cannot help with that."}
TEXT = {"type": "text", "text": PART["refusal"]}


def test_a_refusal_in_a_conversation_is_read_as_text_where_engines_know_none() -> None:
    for each in (LLAMA, LOCAL, engine(KINDS["deepseek"])):
        body = chat(
            messages=[
                *HELLO,
                {"role": "assistant", "content": [dict(PART)]},
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "assistant", "content": "Yes.", "refusal": None},
            ]
        )
        requests.check_chat(body, each)
        assert body["messages"][1:] == [
            {"role": "assistant", "content": [TEXT]},
            {"role": "assistant", "content": "No."},
            {"role": "assistant", "content": "Yes."},
        ]
        user = [{"role": "user", "content": [dict(PART)]}]
        assert refusal(each, messages=user).param == "messages[0].content[0]"
    body = chat(messages=[*HELLO, {"role": "assistant", "content": [dict(PART)]}])
    requests.check_chat(body, SERVED)
    assert body["messages"][1]["content"] == [PART]
