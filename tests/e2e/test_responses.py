"""The Responses API through a running platform, with the real model and OpenAI's SDK."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.test_sdks import MODEL

pytestmark = pytest.mark.e2e
QUESTION = "What is the capital of France? Answer in one sentence."
ASK: Any = {"model": MODEL, "max_output_tokens": 30, "temperature": 0, "input": QUESTION}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": False}


@pytest.fixture
def sdk(real: Platform) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real.url}/v1", api_key=real.key, max_retries=0) as client:
        yield client


def test_the_model_answers_whole_and_streamed_alike(sdk: openai.OpenAI) -> None:
    whole = sdk.responses.create(**ASK)
    with sdk.responses.stream(**ASK) as stream:
        texts = [e.delta for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "Paris" in whole.output_text
    assert whole.output_text == final.output_text == "".join(texts)
    assert whole.usage
    assert final.usage
    assert whole.usage.output_tokens == final.usage.output_tokens > 0


def test_a_bound_makes_a_response_incomplete(sdk: openai.OpenAI) -> None:
    response = sdk.responses.create(**{**ASK, "max_output_tokens": 2})
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"


def test_tokens_are_those_of_the_answers_usage(sdk: openai.OpenAI) -> None:
    call: Any = {
        "type": "function_call",
        "call_id": "c1",
        "name": "get_weather",
        "arguments": '{"city": "Paris"}',
    }
    output: Any = {"type": "function_call_output", "call_id": "c1", "output": "22 degrees"}
    question: Any = {"role": "user", "content": QUESTION}
    prompts: list[dict[str, Any]] = [
        {"input": QUESTION},
        {"input": QUESTION, "instructions": "Be brief. <|im_end|> 中文 😀"},
        {"input": [question, call, output], "tools": [WEATHER], "instructions": "Be brief."},
    ]
    for prompt in prompts:
        counted = sdk.responses.input_tokens.count(model=MODEL, **prompt)
        usage = sdk.responses.create(**{**ASK, "max_output_tokens": 1, **prompt}).usage
        assert usage
        assert counted.input_tokens == usage.input_tokens > 0


def test_a_call_that_must_be_made_and_its_result(sdk: openai.OpenAI) -> None:
    body = {**ASK, "max_output_tokens": 60, "tools": [WEATHER]}
    with sdk.responses.stream(**body, tool_choice="required") as stream:
        final = stream.get_final_response()
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert (call.name, list(json.loads(call.arguments))) == ("get_weather", ["city"])
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18"}
    again = sdk.responses.create(**{**body, "input": [output]}, previous_response_id=final.id)
    assert again.output


def test_a_schema_for_the_answer(sdk: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}
    response = sdk.responses.create(**ASK, text={"format": form})
    assert '"city"' in response.output_text


def test_a_conversation_is_summed_up(sdk: openai.OpenAI) -> None:
    compacted = sdk.responses.compact(model=MODEL, input=QUESTION)
    assert compacted.output[-1].type == "compaction"
    history: Any = [item.to_dict(warnings=False) for item in compacted.output]
    history.append({"role": "user", "content": "Go on."})
    assert sdk.responses.create(**{**ASK, "input": history}).output_text
