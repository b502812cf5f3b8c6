"""Several answers and the tokens of prompts, by the real engine and OpenAI's client."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.ask import Record, client
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e
MODEL = "smollm2-135m"
HI: Any = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]

INVENT: Any = [{"role": "user", "content": "Invent a story about a cat and a ship."}]


@pytest.fixture
def sdk(real: Platform) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real.url}/v1", api_key=real.key, max_retries=0) as client:
        yield client


def test_several_answers_are_one_request(real: Platform, sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=MODEL, messages=HI, n=4, max_tokens=24, temperature=0
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert all("Paris" in (choice.message.content or "") for choice in answer.choices)
    assert answer.usage
    (usage,) = Record(real, answer.id).usage()
    counts = usage["prompt_tokens"], usage["completion_tokens"]
    assert counts == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


def test_answers_differ_with_a_temperature_and_come_together(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model=MODEL, messages=INVENT, n=3, max_tokens=24, temperature=1.5, seed=7, stream=True
    )
    texts, order = defaultdict[int, str](str), list[int]()
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            order.append(choice.index)
    assert sorted(texts) == [0, 1, 2]
    assert len(set(texts.values())) == 3, texts
    assert order != sorted(order), "they are interleaved"


def test_several_prompts(sdk: openai.OpenAI) -> None:
    prompts = ["The capital of France is", "The capital of Italy is"]
    answer = sdk.completions.create(model=MODEL, prompt=prompts, n=2, max_tokens=6, temperature=0)
    texts = [choice.text for choice in answer.choices]
    assert (texts[0], texts[2]) == (texts[1], texts[3])
    alone = sdk.completions.create(model=MODEL, prompt=prompts[1], max_tokens=6, temperature=0)
    assert texts[2] == alone.choices[0].text


def test_the_tokens_of_a_prompt_and_back(real: Platform, sdk: openai.OpenAI) -> None:
    text = "The capital of France is Paris."
    with client(real) as asking:
        answer = asking.post("/v1/tokenize", json={"model": MODEL, "prompt": text}).json()
        tokens = answer["tokens"]
        back = asking.post("/v1/detokenize", json={"model": MODEL, "tokens": tokens}).json()
        chat = asking.post("/v1/tokenize", json={"model": MODEL, "messages": HI}).json()
        beyond = asking.post("/v1/detokenize", json={"model": MODEL, "tokens": [2_000_000_000]})
    assert answer["count"] == len(tokens) > 3
    assert back == {"prompt": text}
    assert (beyond.status_code, beyond.json()["error"]["param"]) == (400, "tokens")
    first = sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=1)
    assert first.usage
    assert first.usage.prompt_tokens == chat["count"]
    same = sdk.completions.create(model=MODEL, prompt=tokens, max_tokens=1, temperature=0)
    assert same.usage
    assert same.usage.prompt_tokens == len(tokens)
