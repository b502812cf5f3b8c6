"""What a request may look like: a wrong one is told what is wrong, and where."""

import contextlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import Engine, EngineConfig
from inference.engines.choices import Several
from inference.engines.fields import CHAT, HINTS, TEXT
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.sglang import SglangEngine
from inference.errors import BadRequest
from inference.validation import requests, schemas

pytestmark = pytest.mark.unit
ENGINE = OpenAIEngine(EngineConfig("smol", "openai", "http://x/v1", "smol", context_length=2048))
LLAMA = LlamaCppEngine(EngineConfig("smol", "llama_cpp", "http://x", "smol", context_length=2048))
SGLANG = SglangEngine(EngineConfig("smol", "sglang", "http://x/v1", "smol", context_length=2048))
HELLO = [{"role": "user", "content": "Hello"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "smol", "messages": HELLO, **fields}


def text(**fields: Any) -> dict[str, Any]:
    return {"model": "smol", "prompt": "Once upon", **fields}


def message(**fields: Any) -> dict[str, Any]:
    return chat(messages=[*HELLO, fields])


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"messages": None}, "messages", "at least one message"),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "hello"}, "messages", "at least one message"),
        ({"messages": [None]}, "messages[0]", "an object"),
        ({"messages": ["hello"]}, "messages[0]", "an object"),
        ({"messages": [{}]}, "messages[0].role", "one of"),
        ({"messages": [{"role": "god", "content": "x"}]}, "messages[0].role", "assistant"),
        ({"messages": [{"role": None, "content": "x"}]}, "messages[0].role", "one of"),
        ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", "one of"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "one of"),
        ({"messages": [{"role": {}, "content": "x"}]}, "messages[0].role", "one of"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "non-empty"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "non-empty"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "non-empty"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content", "non-empty"),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": None}]},
            "messages[1].content",
            "non-empty",
        ),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream": 1}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "needs `stream`"),
        ({"stream": True, "stream_options": []}, "stream_options", "an object"),
        ({"temperature": -0.1}, "temperature", "from 0 to 2"),
        ({"temperature": 2.1}, "temperature", "from 0 to 2"),
        ({"temperature": "hot"}, "temperature", "a number"),
        ({"temperature": True}, "temperature", "a number"),
        ({"top_p": 1.01}, "top_p", "from 0 to 1"),
        ({"frequency_penalty": 3}, "frequency_penalty", "from -2 to 2"),
        ({"presence_penalty": -3}, "presence_penalty", "from -2 to 2"),
        ({"seed": 1.5}, "seed", "a whole number"),
        ({"seed": 2**63}, "seed", "a whole number"),
        ({"stop": 5}, "stop", "at most 16 strings"),
        ({"stop": [5]}, "stop", "at most 16 strings"),
        ({"stop": ["x"] * 17}, "stop", "at most 16 strings"),
        ({"n": 9}, "n", "from 1 to 8"),
        ({"n": 0}, "n", "from 1 to 8"),
        ({"n": 1.5}, "n", "a whole number"),
        ({"n": True}, "n", "from 1 to 8"),
        ({"n": "1"}, "n", "from 1 to 8"),
        ({"n": float("nan")}, "n", "from 1 to 8"),
        ({"user": 5}, "user", "a string"),
        ({"logprobs": 1}, "logprobs", "true or false"),
        ({"top_logprobs": 21}, "top_logprobs", "from 0 to 20"),
        ({"tools": {}}, "tools", "a list"),
        ({"response_format": "json"}, "response_format", "an object"),
        ({"response_format": {"type": "structural_tag"}}, "response_format", "json_schema"),
        ({"logit_bias": {"5": "much"}}, "logit_bias", "an object"),
        ({"logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias", "1024"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs", "thinking"),
        ({"best_of": 2}, "best_of", "must be 1, as `n` is"),
        ({"best_of": 2, "n": 3}, "best_of", "must be 3, as `n` is"),
        ({"best_of": True}, "best_of", "must be 1"),
        ({"best_of": [1]}, "best_of", "must be 1"),
        ({"modalities": ["audio"]}, "modalities", "text"),
        ({"max_tokens": 0}, "max_tokens", "from 1 to 2048"),
        ({"max_tokens": -1}, "max_tokens", "context length"),
        ({"max_tokens": 2049}, "max_tokens", "context length"),
        ({"max_tokens": 1e9}, "max_tokens", "whole number"),
        ({"max_tokens": "10"}, "max_tokens", "whole number"),
        ({"max_tokens": True}, "max_tokens", "whole number"),
        ({"max_completion_tokens": 2049}, "max_completion_tokens", "context length"),
    ],
)
def test_a_bad_chat_is_told_where_and_what(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.check_chat(chat(**fields), ENGINE)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert says in refused.value.message
    assert param in refused.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": [[1, 2]] * 9, "n": 8}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": ["a", []]}, "prompt"),
        ({"prompt": [[1], ["a"]]}, "prompt"),
        ({"prompt": ["a", None]}, "prompt"),
        ({"prompt": ["a", 5, "b"]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, -2]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": {"prompt_string": "x"}}, "prompt"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"max_tokens": 4096}, "max_tokens"),
    ],
)
def test_a_bad_completion_is_told_where(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.check_text(text(**fields), ENGINE)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        chat(stream=True, stream_options={"include_usage": True}),
        chat(stream=False, stream_options=None),
        chat(stream=True, stream_options={}),
        chat(temperature=0, top_p=0.0, frequency_penalty=-2, presence_penalty=2),
        chat(temperature=2, top_p=1),
        chat(seed=-(2**63), stop="x", n=1, user="alice"),
        chat(stop=["x"] * 16, max_tokens=1, max_completion_tokens=2048),
        chat(temperature=None, max_tokens=None, stop=None, n=None, tools=None),
        chat(logprobs=True, top_logprobs=20, response_format={"type": "json_object"}),
        message(role="assistant", content=None, tool_calls=[{"id": "1"}]),
        message(role="assistant", content=""),
        message(role="tool", content="", tool_call_id="1"),
        message(role="system", content="Be brief"),
        message(role="developer", content="Be brief"),
        message(role="user", content=[{"type": "text", "text": "Hello"}]),
        message(role="user", content="Hello", name="alice"),
        message(role="user", content=""),
        message(role="system", content=""),
        message(role="developer", content=""),
    ],
)
def test_a_good_chat_passes_untouched(body: dict[str, Any]) -> None:
    before = orjson.dumps(body)
    requests.check_chat(body, ENGINE)
    assert orjson.dumps(body) == before


@pytest.mark.parametrize("body", [text(), text(logprobs=5, echo=True), text(suffix="x", n=1)])
def test_a_good_completion_passes(body: dict[str, Any]) -> None:
    requests.check_text(body, ENGINE)


OUTSIDE = [
    "audio",
    "cache_salt",
    "chat_template",
    "ebnf",
    "dry_penalty_last_n",
    "functions",
    "grammar",
    "guided_grammar",
    "guided_regex",
    "id_slot",
    "json_schema",
    "kv_transfer_params",
    "lora",
    "lora_path",
    "min_keep",
    "mm_processor_kwargs",
    "n_cmpl",
    "n_keep",
    "n_predict",
    "n_probs",
    "priority",
    "prompt_embeds",
    "prompt_logprobs",
    "regex",
    "request_id",
    "response_fields",
    "samplers",
    "session_params",
    "t_max_predict_ms",
    "truncate_prompt_tokens",
    "use_beam_search",
    "verbose",
    "web_search_options",
]


@pytest.mark.parametrize("engine", [ENGINE, LLAMA, SGLANG])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_field_that_is_not_listed_is_refused(name: str, engine: OpenAIEngine) -> None:
    for check, body in ((requests.check_chat, chat()), (requests.check_text, text())):
        with pytest.raises(BadRequest) as refused:
            check({**body, name: 16}, engine)
        assert (refused.value.status, refused.value.param) == (400, name)
        assert f"`{name}` is not supported" in refused.value.message
        assert name not in engine.prepare({**body, name: 16}, chat="messages" in body)


def test_each_kind_takes_its_own_fields() -> None:
    told = {"top_k": 40, "min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    vllm = {
        "repetition_penalty": 1.1,
        "guided_json": {"type": "object"},
        "structured_outputs": {"json": {"type": "object"}},
    }
    llama = {"repeat_penalty": 1.1, "mirostat": 2, "typical_p": 0.9}
    for engine, own, others in ((ENGINE, vllm, llama), (LLAMA, llama, vllm)):
        body = chat(**told, **own)
        requests.check_chat(body, engine)
        assert (told | own).items() <= engine.prepare(body, chat=True).items()
        with pytest.raises(BadRequest):
            requests.check_chat(chat(**others), engine)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"regex": "(a+)+$"},
        {"grammar": "root ::= root"},
        {"structural_tag": "{}"},
        {"json": "{}"},
        {"choice": [1]},
        {"json_object": False},
        {"json": {"type": "object"}, "regex": "x"},
    ],
)
def test_of_structured_outputs_no_expression_and_no_grammar(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="one of json"):
        requests.check_chat(chat(structured_outputs=given), ENGINE)
    for sound in ({"json": {"type": "object"}}, {"choice": ["a", "b"]}, {"json_object": True}):
        body = chat(structured_outputs=sound)
        requests.check_chat(body, ENGINE)
        assert ENGINE.prepare(body, chat=True)["structured_outputs"] == sound


@pytest.mark.parametrize(
    "given", [{}, {"json_schema": None}, {"json_schema": {}}, {"json_schema": {"schema": "x"}}]
)
def test_a_json_schema_has_a_schema(given: dict[str, Any]) -> None:
    for engine in (ENGINE, LLAMA):
        with pytest.raises(BadRequest, match="must be a JSON schema") as refused:
            requests.check_chat(chat(response_format={"type": "json_schema", **given}), engine)
        assert refused.value.param == "response_format"


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (["Once upon"], "Once upon"),
        ([[1, 2, 3]], [1, 2, 3]),
        ([5], [5]),
        ([1, 2, 3], [1, 2, 3]),
    ],
)
def test_a_list_of_one_prompt_is_that_prompt(given: Any, passed_on: Any) -> None:
    for engine in (ENGINE, LLAMA):
        body = text(prompt=given)
        requests.check_text(body, engine)
        assert engine.prepare(body, chat=False)["prompt"] == passed_on


def test_who_sends_too_many_prompts_is_told_what_to_do() -> None:
    with pytest.raises(BadRequest, match="send fewer prompts") as refused:
        requests.check_text(text(prompt=["a", "b", "c"] * 22), ENGINE)
    assert "more than 64 answers" in refused.value.message


def test_tokens_are_counted_and_not_measured() -> None:
    for count, fits in ((2048, True), (2049, False)):
        body = text(prompt=[1234567] * count)
        with contextlib.nullcontext() if fits else pytest.raises(BadRequest) as refused:
            requests.check_length(len(orjson.dumps(body)), body, ENGINE)
        if refused:
            assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize("form", [form for form in requests.Form if not form.task])
def test_length_is_the_first_check_of_a_body(form: requests.Form) -> None:
    """Each of the others would refuse it, too."""
    wrong = [{"role": "god", "content": 5}]
    body = {"model": "smol", "messages": wrong, "prompt": 5, "n": "x", "no": 1}
    with pytest.raises(BadRequest) as refused:
        requests.checked(body, 2048 * requests.LONGEST_TOKEN + 1, form, ENGINE)
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "says"), [({"suffix": " end"}, "empty"), ({"echo": True}, "false")]
)
def test_llama_cpp_is_not_asked_for_what_it_ignores(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        requests.check_text(text(**fields), LLAMA)
    requests.check_text(text(**fields), ENGINE)
    requests.check_text(text(suffix="", echo=False, logprobs=0), LLAMA)
    requests.check_text(text(suffix=None, echo=None, logprobs=None), LLAMA)


# What a model can take --------------------------------------------------------------------------
def can(engine: Engine = LLAMA, **told: bool) -> Engine:
    return type(engine)(replace(engine.config, capabilities=told))


@pytest.mark.parametrize("engine", [ENGINE, LLAMA])
def test_a_model_of_embeddings_takes_neither_chats_nor_completions(engine: Engine) -> None:
    alone = can(engine, text=False, embeddings=True)
    asked = (
        lambda: requests.check_chat(chat(), alone),
        lambda: requests.check_text(text(), alone),
        lambda: requests.plain_call({"prompt": "x"}, alone),
    )
    for ask in asked:
        with pytest.raises(BadRequest, match="makes embeddings, no text") as refused:
            ask()
        assert (refused.value.code, refused.value.param) == ("unsupported_value", "model")
    both = can(engine, embeddings=True)
    requests.check_chat(chat(), both)
    assert both.known["embeddings"]


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
DATA = "data:image/png;base64,AAAA"


def part(kind: str, **holds: str) -> dict[str, Any]:
    return message(role="user", content=[{"type": kind, kind: holds}])


@pytest.mark.parametrize(
    ("needs", "body", "param"),
    [
        ("tools", chat(tools=[TOOL]), "tools"),
        ("tools", message(role="assistant", tool_calls=[CALL]), "messages[1].tool_calls"),
        ("images", part("image_url", url=DATA), "messages[1].content[0]"),
        ("audio", part("input_audio", data="AAAA", format="wav"), "messages[1].content[0]"),
        ("video", part("video_url", url="data:video/mp4;base64,AA"), "messages[1].content[0]"),
        ("json_schema", chat(response_format=SCHEMA), "response_format"),
        ("logprobs", chat(logprobs=True), "logprobs"),
    ],
)
def test_what_a_model_cannot_take_is_refused(needs: str, body: dict[str, Any], param: str) -> None:
    for engine in (ENGINE, LLAMA):
        requests.check_chat(body, can(engine, **{needs: True}))
        with pytest.raises(BadRequest, match="the model `smol` does not take") as refused:
            requests.check_chat(body, can(engine, **{needs: False}))
        assert (refused.value.status, refused.value.param) == (400, param)


def test_a_model_without_tools_takes_a_chat_that_names_none() -> None:
    poor = can(tools=False, logprobs=False, json_schema=False, images=False)
    requests.check_chat(chat(tools=[], tool_choice="auto", logprobs=False), poor)
    requests.check_chat(chat(response_format={"type": "json_object"}), poor)


def test_a_part_that_an_engine_does_not_know_is_refused_whatever_its_model() -> None:
    for kind, holds in (("audio_url", {"url": "data:x"}), ("file", {"file_data": "AAAA"})):
        requests.check_chat(part(kind, **holds), ENGINE)
        with pytest.raises(BadRequest, match="does not take"):
            requests.check_chat(part(kind, **holds), can(audio=True))


def test_llama_cpp_knows_one_kind_of_tool() -> None:
    requests.check_chat(chat(tools=[{"type": "web_search"}]), ENGINE)
    for tool in ({"type": "web_search"}, {}, "f"):
        with pytest.raises(BadRequest) as refused:
            requests.check_chat(chat(tools=[TOOL, tool]), LLAMA)
        assert str(refused.value.param).startswith("tools[1]")


# Where media come from --------------------------------------------------------------------------
ADDRESSES = [
    "http://169.254.169.254/latest/meta-data/",
    "https://images.example/a.png",
    "file:///etc/passwd",
    "//images.example/a.png",
    " data:image/png;base64,AAAA",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "AAAA",
    "",
]


@pytest.mark.parametrize("kind", ["image_url", "audio_url", "video_url"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_engine_is_sent_to_an_address(kind: str, address: str) -> None:
    for value in (address, {"url": address}):
        body = message(role="user", content=[{"type": kind, kind: value}])
        with pytest.raises(BadRequest, match="`data:` URL") as refused:
            requests.check_chat(body, ENGINE)
        assert refused.value.code == "address_not_fetched"
    requests.check_chat(part(kind, url=DATA), ENGINE)
    requests.check_chat(message(role="user", content=[{"type": kind, kind: DATA}]), ENGINE)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("input_audio", {"data": "http://127.0.0.1/a.wav", "format": "wav"}),
        ("file", {"file_data": "http://127.0.0.1/a.pdf"}),
        ("file", {"file_id": "file-of-somebody-else"}),
        ("file", {"file_data": "AAAA", "file_url": "http://127.0.0.1/"}),
        ("image_url", {"url": DATA, "uuid": "x"}),
        ("image_url", {"detail": "low"}),
        ("input_audio", {"data": 5, "format": "wav"}),
    ],
)
def test_a_medium_holds_itself_and_nothing_else(kind: str, holds: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.check_chat(part(kind, **holds), ENGINE)
    assert refused.value.param == "messages[1].content[0]"
    good = {"input_audio": {"data": "AAAA", "format": "wav"}, "image_url": {"url": DATA}}
    requests.check_chat(part(kind, **good.get(kind, {"file_data": "AAAA"})), ENGINE)


def test_a_buffer_is_no_longer_than_it_needs_to_be() -> None:
    with pytest.raises(BadRequest):
        requests.check_chat(chat(repeat_last_n=2**31 - 1), LLAMA)


def test_openais_own_fields_are_taken_and_not_passed_on() -> None:
    own = {"metadata": {"a": "b"}, "store": False, "service_tier": "auto", "best_of": 1}
    for check, body in ((requests.check_chat, chat(**own)), (requests.check_text, text(**own))):
        check(body, ENGINE)
        assert not own.keys() & ENGINE.prepare(body, chat="messages" in body).keys()
    body = chat(functions=None, n_cmpl=None)  # says nothing
    requests.check_chat(body, ENGINE)
    assert ENGINE.prepare(body, chat=True).keys() == {"model", "messages"}


# What kills an engine ---------------------------------------------------------------------------
def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        found = {"items": found}
    return found


def formatted(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize("depth", [70, 200, 800, 100_000])
def test_no_engine_gets_what_is_nested_deeply(depth: int) -> None:
    rest = b"[" * depth + b"]" * depth
    for name in (b"tools", b"response_format", b"messages"):
        with pytest.raises(BadRequest) as refused:
            requests.parsed(b'{"model":"m","%b":%b}' % (name, rest))
        assert refused.value.code == "invalid_json"
        if depth < 1000:
            assert refused.value.param == name.decode()
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": rest.decode()}}
    with pytest.raises(BadRequest, match="nested|more than 20000") as refused:
        requests.check_chat(message(role="assistant", tool_calls=[call]), ENGINE)
    assert refused.value.param == "messages[1]"


def test_arguments_that_cannot_be_read_are_not_called_deep() -> None:
    broken = '{"rows": [' + '{"n": 1}, ' * 100
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": broken}}
    body = chat(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    with pytest.raises(BadRequest, match=r"`messages\[0\]` are not valid JSON: ") as refused:
        requests.check_chat(body, ENGINE)
    assert "nested" not in refused.value.message


def test_what_is_nested_as_people_do_passes() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": nested(40)}}
    body = chat(response_format=formatted(nested(40)), tools=[tool])
    requests.check_chat(requests.parsed(orjson.dumps(body)), ENGINE)
    many = orjson.dumps([{"a": [n]} for n in range(100)]).decode()
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": many}}
    requests.check_chat(message(role="assistant", tool_calls=[call]), ENGINE)


@pytest.mark.parametrize("name", ["response_format", "guided_json", "structured_outputs", "tools"])
@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"enum": ["x" * 300_000]}, "bytes of JSON"),
        ({"type": "string", "pattern": "^" + "(" * 65 + "a" + ")" * 65 + "$"}, "64 groups"),
        ({"type": "string", "pattern": "a" * 2001}, "2000 characters"),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads to no"),
        ({"anyOf": [{"$ref": "#/anyOf/1"}, {"$ref": "#/anyOf/0"}]}, "leads to no"),
        ({"$ref": "#"}, "leads to no"),
        ({"$ref": "https://example.com/schema.json"}, "only local references"),
        ({"properties": {"a": {"items": {"$ref": "file:///etc/hosts"}}}}, "only local references"),
        ({"$defs": {"a": {"$ref": "other.json#/a"}}}, "only local references"),
        ({"anyOf": [{"$dynamicRef": "//example.com/x"}]}, "only local references"),
        ({"$recursiveRef": "http://127.0.0.1/x"}, "only local references"),
    ],
)
def test_a_schema_is_bounded(name: str, schema: dict[str, Any], says: str) -> None:
    whole: dict[str, Any] = {
        "response_format": formatted(schema),
        "guided_json": schema,
        "structured_outputs": {"json": schema},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    with pytest.raises(BadRequest, match=says) as refused:
        requests.check_chat(chat(**{name: whole[name]}), ENGINE)
    assert refused.value.param == name


def test_a_schema_may_say_what_it_is_called() -> None:
    """Nobody fetches these; and a property may have any name."""
    named = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://a.example/s",
    }
    schema = {**named, "type": "object", "properties": {"$ref": {"type": "string"}}}
    requests.check_chat(chat(response_format=formatted(schema)), ENGINE)


def test_a_schema_may_speak_of_itself() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#/$defs/r"}}}
    schema = {**tree, "$defs": {"r": {"$ref": "#/$defs/s"}, "s": tree}}
    requests.check_chat(chat(response_format=formatted(schema)), ENGINE)


class Counted(dict[str, Any]):
    """A schema that counts how often somebody looks into it."""

    looks = 0

    def get(self, name: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(name, default)


def chained(references: int, hops: int) -> dict[str, Any]:
    """Many `$ref`s to the first of a chain of `hops`."""
    links = {f"d{n}": Counted({"$ref": f"#/$defs/d{n + 1}"}) for n in range(1, hops)}
    links[f"d{hops}"] = Counted({"type": "string"})
    many = [Counted({"$ref": "#/$defs/d1"}) for _ in range(references)]
    return Counted({"prefixItems": many, "$defs": Counted(links)})


def looks_at(schema: dict[str, Any]) -> int:
    Counted.looks = 0
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    requests.check_chat(chat(tools=[tool]), ENGINE)
    return Counted.looks


def test_a_schema_is_walked_in_a_time_that_grows_with_its_length() -> None:
    few, many, long = (looks_at(chained(*of)) for of in ((500, 7), (5000, 7), (500, 1)))
    assert many < 11 * few
    assert few - long < 100, "a chain is followed once, however many lead into it"
    assert few < 40 * 500
    with pytest.raises(BadRequest, match="leads to no"):
        looks_at(chained(1, schemas.MOST_HOPS + 1))
    assert looks_at(chained(1, schemas.MOST_HOPS))


def test_what_is_too_long_is_not_walked() -> None:
    for name in ("response_format", "tools"):
        Counted.looks = 0
        long = Counted({"pattern": "x" * 300_000, "type": "text"})
        body = chat(**{name: [long] if name == "tools" else long}, guided_json=chained(9, 9))
        with pytest.raises(BadRequest, match="bytes of JSON"):
            requests.check_chat(body, ENGINE)
        assert Counted.looks <= 2  # its `type`


def test_texts_in_a_list_count_as_a_prompt() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    for parts, fits in (([image], True), ([{"type": "text", "text": "a b " * 20_000}], False)):
        body = message(role="user", content=[*parts, {"type": "text", "text": "Hello"}])
        requests.check_chat(body, ENGINE)
        with contextlib.nullcontext() if fits else pytest.raises(BadRequest) as refused:
            requests.check_length(len(orjson.dumps(body)), body, ENGINE)
        if refused:
            assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "part",
    [
        "Hello",
        5,
        {},
        {"type": []},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "text", "text": 5},
        {"type": "text", "text": "x", "uuid": "1", "image_embeds": "AAAA"},
        {"type": "image_url"},
    ],
)
def test_a_part_is_of_a_known_kind(part: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.check_chat(message(role="user", content=[part]), ENGINE)
    assert refused.value.param == "messages[1].content[0]"


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{'a':1}", b'{"a":1,}', b'{"a":NaN}', b"{}{}"],
)
def test_what_is_no_json_object_is_told_so(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.parsed(raw)
    assert refused.value.code == "invalid_json"


@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(requests.parsed(raw), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["messages", "prompt", *CHAT, *TEXT, *HINTS, "grammar"])


@given(st.dictionaries(names, json_values, max_size=4))
def test_any_values_pass_or_are_refused(fields: dict[str, Any]) -> None:
    for check in (requests.check_chat, requests.check_text):
        with contextlib.suppress(BadRequest):
            check({"model": "smol", **fields}, ENGINE)


@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), json_values)))
def test_any_messages_pass_or_are_refused(messages: list[Any]) -> None:
    with contextlib.suppress(BadRequest):
        requests.check_chat(chat(messages=messages), ENGINE)


def test_what_can_be_read_can_be_passed_on() -> None:
    for depth in (100, 250, 300, 900, 5000):
        raw = b'{"model":"smol","metadata":' + b"[" * depth + b"]" * depth + b"}"
        try:
            body = requests.parsed(raw)
        except BadRequest:
            continue
        assert orjson.dumps(body)


@pytest.mark.parametrize("model", [None, "", 5, ["smol"], {}])
def test_a_model_must_be_named(model: object) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.model_of({"model": model})
    assert refused.value.param == "model"


def test_several_prompts_and_answers_are_taken() -> None:
    several = [["a", "b"], [[1, 2], [3]], ["a", [1]], ["a"] * 64]
    for prompt in several:
        body = text(prompt=prompt, n=1)
        requests.check_text(body, ENGINE)
        assert body["prompt"] == prompt
    requests.check_chat(chat(n=8, best_of=8), ENGINE)
    with pytest.raises(BadRequest, match="takes several"):
        requests.plain_call({"prompt": ["a", "b"]}, ENGINE)


def test_the_estimate_weighs_all_answers() -> None:
    assert requests.estimate(400, {"max_tokens": 10}, Several(2, 3, 1)) == 100 + 2 * 10 * 6
    assert requests.estimate(400, {"max_tokens": 10}, Several(2, 3, 3)) == 300 + 2 * 10 * 6


def test_the_estimate_weighs_what_is_asked_for() -> None:
    assert requests.estimate(400, {"max_tokens": 10}) == 120
    assert requests.estimate(400, {"max_completion_tokens": 20, "max_tokens": 10}) == 140
    assert requests.estimate(0, {}) == 2 * requests.DEFAULT_ANSWER
    assert requests.estimate(40, {"max_tokens": None}) == 10 + 2 * requests.DEFAULT_ANSWER


# The plain call ---------------------------------------------------------------------------------
def test_the_plain_call_becomes_a_completion() -> None:
    asked = {"prompt": "Hi", "max_tokens": 5, "temperature": 0.5, "stop_words": ["END"]}
    body = requests.plain_call(asked, ENGINE)
    assert body == {"prompt": "Hi", "max_tokens": 5, "temperature": 0.5, "stop": ["END"]}
    for unbounded in ({"prompt": "Hi"}, {"prompt": "Hi", "max_tokens": None}):
        assert requests.plain_call(unbounded, ENGINE) == {"prompt": "Hi", "max_tokens": 16}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "Hi", "temperature": 0.05}, "temperature"),
        ({"prompt": "Hi", "temperature": 1.1}, "temperature"),
        ({"prompt": "Hi", "stop_words": [1]}, "stop_words"),
        ({"prompt": "Hi", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "Hi", "stop": ["x"]}, "stop"),
        ({"prompt": "Hi", "stream": True}, "stream"),
    ],
)
def test_a_bad_plain_call_is_told_where(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.plain_call(asked, ENGINE)
    assert refused.value.param == param
