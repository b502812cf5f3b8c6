"""A call that the bundled model has to make: asked for by a schema, told as OpenAI's tool call."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.codec.pieces import as_answer
from inference.engines.base import Engine
from inference.engines.kinds.bundled_model import FILE
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.llama_cpp_answers import RequiredCall
from inference.engines.transport.session import EngineSession
from inference.order import Order
from tests.inference.engines.served import Served, an_engine
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
CITY = {"type": "object", "properties": {"city": {"$ref": "#/$defs/c"}}, "$defs": {"c": {}}}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "time"}},
]
ARGUMENTS = '{"city": {"name": "Par\\"}is"}, "n": [{}]}'
TEXT = '{"name": "weather", "arguments": ' + ARGUMENTS + "}"


def order(choice: Any = "required") -> Order:
    return an_order(body=orjson.dumps({"messages": [], "tools": TOOLS, "tool_choice": choice}))


def bundled(url: str = "http://x") -> Engine:
    return an_engine(url, LlamaCppEngine, launch={"model": f"/models/{FILE}"})


def streamed(pieces: list[str], reason: str = "stop") -> dict[str, Any]:
    """The answer that a reader puts together from the events of a stream."""
    call = RequiredCall.for_order(order())
    assert call
    deltas = [{"role": "assistant", "content": None}, *({"content": piece} for piece in pieces)]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
    events = [b"data: " + orjson.dumps({"choices": [choice]}) for choice in choices]
    shaped = [call.of_event(event) for event in [*events, b"data: [DONE]"]]
    assert len(shaped) == len(events) + 1, "each counts as a token"
    answer: dict[str, Any] = orjson.loads(as_answer(shaped, {}))["choices"][0]
    return answer


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_a_stream_makes_the_same_call_however_it_is_cut(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:end] for start, end in zip(at, at[1:], strict=False)]
    choice = streamed(pieces)
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": ARGUMENTS}
    assert (call["type"], call["id"][:5], choice["finish_reason"]) == (
        "function",
        "call_",
        "tool_calls",
    )
    assert not choice["message"].get("content")


def test_what_was_cut_off_says_so() -> None:
    choice = streamed([TEXT[:50]], "length")
    (call,) = choice["message"]["tool_calls"]
    assert ARGUMENTS.startswith(call["function"]["arguments"])
    assert choice["finish_reason"] == "length"
    choice = streamed([TEXT[:12]], "length")
    assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT[:12], "length")
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "time"}}])
async def test_the_bundled_model_is_asked_for_the_call_and_nothing_else(
    served: Served, session: EngineSession, choice: Any
) -> None:
    engine = bundled(served.url)
    message = {"role": "assistant", "content": '{"name":"time","arguments":{}}'}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    served.says(orjson.dumps({"total_slots": 1, **answer}))
    body = engine.prepare(orjson.loads(order(choice).body), chat=True)
    told = orjson.loads(await engine.answer(session, an_order(body=orjson.dumps(body))))["choices"]
    (call,) = told[0]["message"]["tool_calls"]
    assert call["function"] == {"name": "time", "arguments": "{}"}
    assert (told[0]["message"]["content"], told[0]["finish_reason"]) == (None, "tool_calls")
    sent = orjson.loads(served.asked[-1][1])
    calls = sent["response_format"]["json_schema"]["schema"]["anyOf"]
    names = [call["properties"]["name"]["const"] for call in calls]
    assert names == (["weather", "time"] if choice == "required" else ["time"])
    assert sent["tool_choice"] == "none"


def test_references_of_a_functions_parameters_are_moved_along() -> None:
    call = RequiredCall.for_order(order())
    assert call
    fields = orjson.loads(b"{" + call.outgoing.removeprefix(b",") + b"}")
    first = fields["response_format"]["json_schema"]["schema"]["anyOf"][0]["properties"]
    city = first["arguments"]["properties"]["city"]
    assert city == {"$ref": "#/anyOf/0/properties/arguments/$defs/c"}


def test_other_models_make_their_calls_in_their_own_words() -> None:
    """The named one is still the only one: llama.cpp would pass over its name."""
    other = an_engine("http://x", LlamaCppEngine, launch={"model": "/models/qwen3.gguf"})
    assert isinstance(other, LlamaCppEngine)
    assert other._shapes(order()) == []
    named = {"type": "function", "function": {"name": "time"}}
    body = other.prepare(orjson.loads(order(named).body), chat=True)
    assert (body["tools"], body["tool_choice"]) == (TOOLS[1:], "required")


def test_who_may_choose_is_not_forced() -> None:
    assert RequiredCall.for_order(order("auto")) is None
    content = [{"role": "user", "content": '"tool_choice":"required"'}]
    assert RequiredCall.for_order(an_order(body=orjson.dumps({"messages": content}))) is None
