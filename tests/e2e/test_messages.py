"""Anthropic's Messages API through a running platform, with the real model and Anthropic's SDK."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.e2e.conftest import Platform
from tests.e2e.test_sdks import MODEL

pytestmark = pytest.mark.e2e
QUESTION = "What is the capital of France? Answer in one sentence."
ASK: Any = {
    "model": MODEL,
    "max_tokens": 30,
    "extra_body": {"temperature": 0},
    "messages": [{"role": "user", "content": QUESTION}],
}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
BILLING = "x-anthropic-billing-header: cc_version=2.1.97.%s; cch=%s;"


@pytest.fixture
def sdk(real: Platform) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=real.url, api_key=real.key, max_retries=0) as client:
        yield client


def test_the_model_answers_whole_and_streamed_alike(sdk: anthropic.Anthropic) -> None:
    whole = sdk.messages.create(**ASK)
    with sdk.messages.stream(**ASK) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    (block,) = whole.content
    assert block.type == "text"
    assert "Paris" in block.text
    assert streamed == block.text
    assert final.usage.output_tokens == whole.usage.output_tokens > 0


def test_tokens_are_counted_as_they_are_billed(sdk: anthropic.Anthropic) -> None:
    """The engine's template and tokenizer count system prompt, tools and their results."""
    history: Any = [
        *ASK["messages"],
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "22 degrees"}],
        },
    ]
    prompts: list[dict[str, Any]] = [
        {"messages": ASK["messages"]},
        {"messages": ASK["messages"], "system": "Be brief. <|im_end|> 中文 😀"},
        {"messages": history, "tools": [WEATHER], "system": "Be brief."},
    ]
    for prompt in prompts:
        counted = sdk.messages.count_tokens(model=MODEL, **prompt)
        usage = sdk.messages.create(**{**ASK, "max_tokens": 1, **prompt}).usage
        read = usage.input_tokens + (usage.cache_read_input_tokens or 0)
        assert counted.input_tokens == read > 0


def test_a_prompt_is_warm_though_its_billing_block_differs(sdk: anthropic.Anthropic) -> None:
    system = "You are the night shift of a dam, and write the log. " * 20
    usages = []
    for number in ("a1f", "b2e"):
        blocks: Any = [
            {"type": "text", "text": BILLING % (number, number)},
            {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}},
        ]
        usages.append(sdk.messages.create(**ASK, system=blocks).usage)
    assert usages[0].input_tokens > 100
    assert usages[1].input_tokens < 20
    assert usages[1].cache_read_input_tokens


def test_a_call_that_must_be_made(sdk: anthropic.Anthropic) -> None:
    choice: Any = {"type": "tool", "name": "get_weather"}
    with sdk.messages.stream(**{**ASK, "max_tokens": 60}, tools=[WEATHER], tool_choice=choice) as s:
        final = s.get_final_message()
    (call,) = [block for block in final.content if block.type == "tool_use"]
    assert (call.name, list(call.input), final.stop_reason) == ("get_weather", ["city"], "tool_use")


def test_a_schema_for_the_answer(sdk: anthropic.Anthropic) -> None:
    form: Any = {"type": "json_schema", "schema": WEATHER["input_schema"]}
    message = sdk.messages.create(**ASK, output_config={"format": form})
    (block,) = message.content
    assert block.type == "text"
    assert block.text.lstrip().startswith('{"city"') or '"city"' in block.text
