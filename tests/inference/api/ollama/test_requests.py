"""What becomes of a request: the chat, in OpenAI's form, that the engine's kind checks."""

import time
from typing import Any

import pytest

from inference.api.ollama import conversation, fields, requests
from inference.api.ollama.options import OPTIONS, sampling
from inference.engines import KINDS
from inference.engines.base import Engine, EngineConfig
from inference.errors import BadRequest
from inference.intake.access import allowed
from inference.validation.requests import Form
from tests.inference.api.ollama.asking import ASK, HI, PROMPT, WEATHER, call
from tests.inference.callers import a_caller

pytestmark = pytest.mark.unit


def engine_of(kind: str) -> Engine:
    return KINDS[kind](EngineConfig("small", kind, "http://x", "theirs", context_length=8192))


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {kind: engine_of(kind) for kind in KINDS} | {"small": engine_of("vllm")}
    monkeypatch.setattr(allowed, "served", lambda: models)
    monkeypatch.setattr(allowed, "check_residency", lambda caller, model: None)


def chat_of(**more: Any) -> requests.ModelRequest:
    return requests.chat(a_caller(), fields.checked({**ASK, **more}, fields.CHAT))


def prompt_of(**more: Any) -> requests.ModelRequest:
    sent = fields.checked({**PROMPT, **more}, fields.GENERATE)
    return requests.generate(a_caller(), sent, 100)


def refused(call: Any, **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as refusal:
        call(**more)
    assert refusal.value.param
    assert str(refusal.value.param) in refusal.value.message
    return refusal.value


# Messages -----------------------------------------------------------------------------------------
def messages_of(*listed: dict[str, Any], kind: str = "vllm") -> list[dict[str, Any]]:
    return conversation.messages(list(listed), engine_of(kind))


def test_results_belong_to_calls_by_id_name_or_place() -> None:
    calls = [{"id": "a", **call("f")}, call("g"), call("h"), call("f")]
    made = messages_of(
        *HI,
        {"role": "Assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "content": "of h", "tool_name": "h"},
        {"role": "tool", "content": "of a", "tool_call_id": "a"},
        {"role": "tool", "content": "the first without one"},
        {"role": "tool", "content": "the rest"},
    )
    ids = [each["id"] for each in made[1]["tool_calls"]]
    assert len(set(ids)) == 4
    assert [m["tool_call_id"] for m in made[2:]] == [ids[2], "a", ids[1], ids[3]]
    assert made[1]["content"] == "I look."
    assert made[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_results_of_many_calls_take_little_work() -> None:
    """Of processor time: all else waits for it."""
    names = [f"f{n}" for n in range(5_000)]
    results = [{"role": "tool", "content": "", "tool_name": name} for name in reversed(names)]
    began = time.process_time()
    made = messages_of(
        {"role": "assistant", "tool_calls": [call(name) for name in names]}, *results
    )
    assert time.process_time() - began < 0.5
    ids = [each["id"] for each in made[0]["tool_calls"]]
    assert [each["tool_call_id"] for each in made[1:]] == ids[::-1]


def test_an_id_that_no_call_has_is_that_of_the_first_open_one() -> None:
    result = {"role": "tool", "content": "22", "tool_call_id": "lost"}
    made = messages_of(*HI, {"role": "assistant", "tool_calls": [call()]}, result, result)
    own = made[1]["tool_calls"][0]["id"]
    assert [m["tool_call_id"] for m in made[2:]] == [own, "lost"]


def test_a_result_without_a_call_is_passed_on() -> None:
    """Some clients forget the calls of their own history."""
    made = messages_of(*HI, {"role": "tool", "content": "22"}, {"role": "tool", "content": "23"})
    assert len({m["tool_call_id"] for m in made[1:]}) == 2


def test_a_last_message_of_the_model_is_its_beginning() -> None:
    made = messages_of(*HI, {"role": "assistant", "content": "Once"})
    assert made[-1] == {"role": "assistant", "content": "Once", "prefix": True}
    called = messages_of(*HI, {"role": "assistant", "tool_calls": [call()]})
    assert (called[-1]["content"], "prefix" in called[-1]) == (None, False)


def test_thinking_goes_back_while_its_calls_go_on() -> None:
    turn = {"role": "assistant", "thinking": "Hm", "tool_calls": [call()]}
    result = {"role": "tool", "content": "22"}
    assert messages_of(*HI, turn, result)[1]["reasoning_content"] == "Hm"
    later = messages_of(*HI, turn, result, *HI)
    assert "reasoning_content" not in later[1]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("hi", "messages[0]"),
        ({"content": "hi"}, "messages[0].role"),
        ({"role": ["user"]}, "messages[0].role"),
        ({"role": "developer"}, "messages[0].role"),
        ({"role": "user", "content": [{"type": "text", "text": "hi"}]}, "messages[0].content"),
        ({"role": "user", "content": "x", "images": ["aGk="]}, "messages[0].images"),
        ({"role": "assistant", "tool_calls": {}}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": ["f"]}, "messages[0].tool_calls[0]"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]},
            "messages[0].tool_calls[0].function.name",
        ),
        ({"role": "tool", "content": "x", "tool_name": 7}, "messages[0].tool_name"),
        ({"role": "assistant", "thinking": 7}, "messages[0].thinking"),
    ],
)
def test_a_message_that_is_none(message: Any, param: str) -> None:
    assert refused(chat_of, messages=[message]).param == param


# Fields -------------------------------------------------------------------------------------------
def test_the_stream_is_the_default() -> None:
    assert chat_of().is_streamed
    assert not chat_of(stream=False).is_streamed
    assert (chat_of().body["stream"], "stream" in chat_of(stream=False).body) == (True, False)


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    json_schema = {"name": "answer", "schema": schema}
    made = chat_of(format=schema).body["response_format"]
    assert made == {"type": "json_schema", "json_schema": json_schema}
    assert chat_of(format="json").body["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat_of(format="").body
    assert refused(chat_of, format="xml").param == "format"


@pytest.mark.parametrize(
    ("think", "switch", "effort", "shown"),
    [
        (None, None, None, True),
        (True, True, None, True),
        (False, False, None, False),
        ("low", True, "low", True),
        ("max", True, "high", True),
    ],
)
def test_thinking(think: Any, switch: bool | None, effort: str | None, shown: bool) -> None:
    made = chat_of(think=think)
    arguments = made.body.get("chat_template_kwargs", {})
    assert arguments.get("enable_thinking") is switch
    assert (made.body.get("reasoning_effort"), made.shows_thinking) == (effort, shown)


def test_logprobs() -> None:
    body = chat_of(logprobs=True, top_logprobs=3).body
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    assert "top_logprobs" not in chat_of(top_logprobs=3).body


def test_tools() -> None:
    bare = {"function": {"name": "f", "description": None, "strict": True}}
    made = chat_of(tools=[WEATHER, bare]).body["tools"]
    assert made == [WEATHER, {"type": "function", "function": {"name": "f"}}]
    assert "tools" not in chat_of(tools=[]).body
    assert refused(chat_of, tools=["f"]).param == "tools[0]"
    assert refused(chat_of, tools=[{**WEATHER, "type": "browser"}]).param == "tools[0].type"


@pytest.mark.parametrize("name", fields.REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    refusal = refused(prompt_of, **{name: [1]})
    assert (refusal.param, refusal.code) == (name, "unsupported_value")
    assert fields.REFUSED[name] in refusal.message
    nothing: list[Any] = [None, "", [], 0, False]
    for empty in nothing:
        assert prompt_of(**{name: empty}).form is Form.CHAT


def test_a_prompt() -> None:
    made = prompt_of(system="Be brief.")
    system = {"role": "system", "content": "Be brief."}
    assert (made.body["messages"], made.form) == ([system, *HI], Form.CHAT)


def test_a_prompt_without_a_template() -> None:
    made = prompt_of(raw=True, suffix="end", options={"num_predict": 9, "top_k": 3})
    expected = {"model": "small", "prompt": "Say hi.", "suffix": "end", "max_tokens": 9, "top_k": 3}
    assert (made.body, made.form) == ({**expected, "stream": True}, Form.TEXT)
    assert prompt_of(raw=True).body["max_tokens"] == 8192 - len("Say hi.")
    assert prompt_of(raw=True, prompt="x" * 9000).body["max_tokens"] == requests.LEAST_ANSWER
    for name, value in (("system", "x"), ("format", "json"), ("logprobs", True)):
        assert refused(prompt_of, raw=True, **{name: value}).param == name


def test_a_prompt_that_is_too_long_is_refused_at_once() -> None:
    sent = fields.checked(PROMPT, fields.GENERATE)
    with pytest.raises(BadRequest) as refusal:
        requests.generate(a_caller(), sent, 8192 * 16 + 1)
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("inputs", [7, [7], ["a", 7], [["a"]], {"a": 1}])
def test_embeddings_are_of_texts(inputs: Any) -> None:
    refusal = refused(lambda **sent: requests.embed(a_caller(), sent), model="small", input=inputs)
    assert refusal.param == "input"


# Options ------------------------------------------------------------------------------------------
def test_options_in_each_engines_own_names() -> None:
    options = {"repeat_penalty": 1.2, "min_p": 0.1, "repeat_last_n": 32}
    assert sampling(options, engine_of("llama_cpp"), chat=True) == options
    made = sampling(options, engine_of("vllm"), chat=True)
    assert made == {"repetition_penalty": 1.2, "min_p": 0.1}


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.names])
def test_an_option_that_an_engine_lacks(name: str) -> None:
    """Options that would change the answer are refused; others are left out."""
    engine, option = engine_of("deepseek"), OPTIONS[name]
    assert sampling({name: option.neutral}, engine, chat=True) == {}
    if option.neutral is not None:
        with pytest.raises(BadRequest) as refusal:
            sampling({name: 2 if option.rule.holds(2) else 0.5}, engine, chat=True)
        assert (refusal.value.param, refusal.value.code) == (
            f"options.{name}",
            "unsupported_value",
        )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"num_predict": -1}, {}),
        ({"num_predict": -2}, {}),
        ({"num_predict": 8192}, {}),
        ({"num_predict": 8191}, {"max_tokens": 8191}),
        ({"seed": -1}, {}),
        ({"seed": 0}, {"seed": 0}),
        ({"stop": []}, {}),
        ({"stop": "END"}, {"stop": "END"}),
        ({"temperature": None}, {}),
        ({"num_ctx": 4096, "num_gpu": 99, "use_mmap": True, "tfs_z": 1.0}, {}),
    ],
)
def test_options(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sampling(options, engine_of("vllm"), chat=True) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_predict", 0),
        ("num_predict", -3),
        ("num_predict", 10**9),
        ("num_predict", True),
        ("temperature", 9),
        ("temperature", "1"),
        ("top_p", 2),
        ("top_k", -2),
        ("stop", [""]),
        ("stop", ["x"] * 17),
        ("seed", 1.5),
        ("num_ctx", "4096"),
        ("use_mmap", 1),
        ("warmth", 1),
    ],
)
def test_an_option_that_is_none(name: str, value: Any) -> None:
    assert refused(chat_of, options={name: value}).param == f"options.{name}"
