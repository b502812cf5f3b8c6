"""The SDKs that tenants already use, unchanged, with the real model.

FOREBAY_TEST_SILENCE_S says for how long the mock engine falls silent (`make soak`: 16).
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import SecretStr

from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e
MODEL = "smollm2-135m"
SILENCE_S = float(os.environ.get("FOREBAY_TEST_SILENCE_S", "1.5"))
HI: Any = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


@pytest.fixture
def sdk(real: Platform) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{real.url}/v1", api_key=real.key, max_retries=0)


def test_a_chat_completion(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=MODEL,
        messages=HI,
        max_tokens=30,
        temperature=0,
        seed=1,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0
    assert answer._request_id


def test_a_streamed_chat_completion(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(
            model=MODEL,
            messages=HI,
            max_tokens=30,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Paris" in text
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_async_client(real: Platform) -> None:
    async with openai.AsyncOpenAI(base_url=f"{real.url}/v1", api_key=real.key) as sdk:
        stream = await sdk.chat.completions.create(
            model=MODEL,
            messages=HI,
            max_tokens=20,
            temperature=0,
            stream=True,
        )
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert "Paris" in text


def test_a_text_completion_with_stop_and_seed(sdk: openai.OpenAI) -> None:
    def ask() -> str:
        answer = sdk.completions.create(
            model=MODEL, prompt="1, 2, 3, 4,", max_tokens=16, seed=7, stop=["7"], temperature=0
        )
        assert answer.choices[0].finish_reason in ("stop", "length")
        return answer.choices[0].text

    first = ask()
    assert "7" not in first
    assert first == ask()


def test_logprobs(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=MODEL,
        messages=HI,
        max_tokens=4,
        logprobs=True,
        top_logprobs=2,
    )
    assert answer.choices[0].logprobs
    assert answer.choices[0].logprobs.content
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_logprobs_of_a_text(sdk: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "prompt": "1, 2, 3,", "max_tokens": 3, "temperature": 0}
    (choice,) = sdk.completions.create(**asked, logprobs=2).choices
    assert choice.logprobs
    assert "".join(choice.logprobs.tokens or ()) == choice.text
    assert len(choice.logprobs.token_logprobs or ()) == 3
    assert {len(top) for top in choice.logprobs.top_logprobs or ()} == {2}
    chunks = [c.choices[0] for c in sdk.completions.create(**asked, logprobs=2, stream=True)]
    tokens = [t for c in chunks if c.logprobs for t in c.logprobs.tokens or ()]
    assert tokens == choice.logprobs.tokens


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_that_name_no_number(sdk: openai.OpenAI, stream: bool) -> None:
    asked: Any = {"model": MODEL, "max_tokens": 3, "temperature": 0, "stream": stream}
    chat = sdk.chat.completions.create(**asked, messages=HI, logprobs=True)
    chunks = list(chat) if stream else [chat]
    tokens = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [token.top_logprobs for token in tokens] == [[]] * 3
    text = sdk.completions.create(**asked, prompt="1, 2, 3,", logprobs=0)
    found = [c.choices[0].logprobs for c in (text if stream else [text])]
    logprobs = [one for one in found if one]
    assert sum(len(one.tokens) for one in logprobs) == 3
    assert {one.top_logprobs is None for one in logprobs} == {True}


# Tools -------------------------------------------------------------------------------------------
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("choice", ["required", NAMED])
def test_the_bundled_model_calls_the_tool_that_it_must(sdk: openai.OpenAI, choice: Any) -> None:
    question: Any = {"role": "user", "content": "What is the weather in Paris?"}
    asked: Any = {"model": MODEL, "tools": [WEATHER], "max_tokens": 60, "temperature": 0}
    answer = sdk.chat.completions.create(**asked, messages=[question], tool_choice=choice)
    (choice_made,) = answer.choices
    calls: Any = choice_made.message.tool_calls
    (call,) = calls
    assert (call.type, choice_made.finish_reason) == ("function", "tool_calls")
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"}
    said: Any = choice_made.message.model_dump(exclude_none=True)
    more = sdk.chat.completions.create(**asked, messages=[question, said, result])
    assert more.choices[0].message.content or more.choices[0].message.tool_calls


@pytest.mark.slow(seconds=20)
def test_a_call_comes_in_a_stream_as_the_sdk_puts_it_together(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=60,
        temperature=0,
    ) as stream:
        answer = stream.get_final_completion()
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls
    assert set(json.loads(call.function.arguments)) == {"city"}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_an_agent_may_offer_tools_to_the_bundled_model(sdk: openai.OpenAI) -> None:
    """As frameworks do by default: it may call one, and need not."""
    answer = sdk.chat.completions.create(
        model=MODEL, messages=HI, tools=[WEATHER], tool_choice="auto", max_tokens=20, temperature=0
    )
    message = answer.choices[0].message
    assert message.content or message.tool_calls


def test_azures_client(real: Platform) -> None:
    sdk = openai.AzureOpenAI(
        azure_endpoint=real.url, api_key=real.key, api_version="2024-10-21", max_retries=0
    )
    assert MODEL in {model.id for model in sdk.models.list()}
    chat = sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=3)
    assert chat.model == MODEL
    deployed = openai.AzureOpenAI(
        azure_endpoint=real.url,
        azure_deployment=MODEL,
        api_key=real.key,
        api_version="2024-10-21",
        max_retries=0,
    )
    text = deployed.completions.create(model="other", prompt="1, 2,", max_tokens=2)
    assert (text.model, text.usage and text.usage.completion_tokens) == (MODEL, 2)


def test_json_answers(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Give me a JSON object with a city."}],
        max_tokens=60,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "city",
                "schema": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "maxLength": 12}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
            },
        },
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city"}


def test_files_and_batches(sdk: openai.OpenAI, tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": HI, "max_tokens": 30, "temperature": 0, "seed": 1}
    lines = [
        {"custom_id": f"n{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for n in range(4)
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    file = sdk.files.create(file=path, purpose="batch", expires_after=expiry)
    assert (file.filename, file.bytes, file.purpose) == (
        "lines.jsonl",
        path.stat().st_size,
        "batch",
    )
    assert file.expires_at == file.created_at + 3600
    batch = sdk.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"job": "sdk"},
        output_expires_after=expiry,
    )
    ends = time.monotonic() + 60
    while (batch := sdk.batches.retrieve(batch.id)).status != "completed":
        assert batch.status in ("validating", "in_progress", "finalizing"), batch.errors
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 0)
    assert batch.output_file_id
    rows = [json.loads(row) for row in sdk.files.content(batch.output_file_id).iter_lines()]
    assert [row["custom_id"] for row in rows] == ["n0", "n1", "n2", "n3"]
    for row in rows:
        assert "Paris" in row["response"]["body"]["choices"][0]["message"]["content"]
    assert batch.id in [each.id for each in sdk.batches.list(limit=1)]
    (output,) = sdk.files.list(purpose="batch_output")
    assert output.id == batch.output_file_id
    assert output.expires_at == output.created_at + 3600
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(file.id)
    with pytest.raises(openai.ConflictError):
        sdk.batches.cancel(batch.id)


def test_errors_have_their_classes(sdk: openai.OpenAI, real: Platform) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="gpt-9", messages=HI)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model=MODEL, messages=[])
    wrong = openai.OpenAI(base_url=f"{real.url}/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()


def test_a_prompt_over_the_context_window(sdk: openai.OpenAI) -> None:
    long: Any = [{"role": "user", "content": "word " * 20_000}]
    told_by_the_engine: Any = [{"role": "user", "content": "word " * 4000}]
    for messages in (long, told_by_the_engine):  # the first one is told by us
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.chat.completions.create(model=MODEL, messages=messages)
        assert refused.value.code == "context_length_exceeded"
        words = "This model's maximum context length is 2048 tokens. However, your messages"
        assert refused.value.body["message"].startswith(words)  # type: ignore[index]


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == [MODEL]
    assert sdk.models.retrieve(MODEL).id == MODEL


def test_langchain(real: Platform) -> None:
    model = ChatOpenAI(
        base_url=f"{real.url}/v1",
        api_key=SecretStr(real.key),
        model=MODEL,
        temperature=0,
        max_completion_tokens=30,
    )
    question = [HumanMessage(HI[0]["content"])]
    assert "Paris" in str(model.invoke(question).content)
    assert "Paris" in "".join(str(chunk.content) for chunk in model.stream(question))


def test_langchain_with_a_text(real: Platform) -> None:
    """It sends its prompt as a list of one."""
    model = OpenAI(
        base_url=f"{real.url}/v1",
        api_key=SecretStr(real.key),
        model=MODEL,
        temperature=0,
        max_tokens=5,
    )
    whole = model.invoke("The capital of France is")
    assert whole
    assert "".join(model.stream("The capital of France is")) == whole


def test_a_stream_whose_engine_falls_silent_is_read_to_its_end_twice(
    staged: Platform, mock: Mock
) -> None:
    """Live, with a comment after 15 s; and read again meanwhile, with one after each second."""
    mock.behave(tokens=2, interval_ms=SILENCE_S * 1000)
    key = staged.new_key()
    with openai.OpenAI(base_url=f"{staged.url}/v1", api_key=key, max_retries=0) as sdk:
        live = sdk.chat.completions.create(model="mock", messages=HI, stream=True)
        begun = [next(live), next(live)]
        again = sdk.get(
            f"/completions/{begun[0].id}/events",
            cast_to=ChatCompletionChunk,
            stream=True,
            stream_cls=openai.Stream[ChatCompletionChunk],
        )
        texts = [_text(list(again)), _text([*begun, *live])]
    assert texts[0] == texts[1] != ""


def _text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
