"""Ollama's API through a running platform, with the real model and Ollama's SDK."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from ollama import Client

from config.environment import PROJECT
from tests.e2e.conftest import Platform
from tests.e2e.test_sdks import MODEL

pytestmark = pytest.mark.e2e
ASK: Any = {
    "model": MODEL,
    "messages": [
        {"role": "user", "content": "What is the capital of France? Answer in one sentence."}
    ],
    "options": {"temperature": 0, "num_predict": 30, "num_ctx": 2048},
}


@pytest.fixture
def sdk(real: Platform) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {real.key}"}
    with Client(f"{real.url}/ollama", headers=headers) as client:
        yield client


def test_the_model_answers_whole_and_streamed_alike(sdk: Client) -> None:
    whole = sdk.chat(**ASK)
    *parts, last = sdk.chat(**ASK, stream=True)
    streamed = "".join(part.message.content or "" for part in parts)
    assert whole.message.content
    assert "Paris" in whole.message.content
    assert streamed == whole.message.content
    assert last.eval_count == whole.eval_count
    assert (last.eval_count or 0) > 0
    assert last.prompt_eval_duration
    assert whole.prompt_eval_duration is None
    for answer in (whole, last):
        spent = (answer.load_duration, answer.prompt_eval_duration, answer.eval_duration)
        assert sum(each or 0 for each in spent) == answer.total_duration


def test_a_prompt_with_a_schema(sdk: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    }
    answer = sdk.generate(MODEL, "The capital of France, as JSON.", format=schema)
    assert (answer.response or "").startswith("{")


def test_a_raw_prompt(sdk: Client) -> None:
    answer = sdk.generate(MODEL, "One, two, three,", raw=True, options={"num_predict": 8})
    assert answer.eval_count == 8
    assert (answer.prompt_eval_count or 0) < 10, "a template was put around it"


def test_browsers_see_the_console_at_the_root(real: Platform) -> None:
    page = {"Accept": "text/html", "User-Agent": "Mozilla/5.0"}
    assert "login" in httpx.get(real.url, headers=page).headers["location"]
    program = {"User-Agent": "ollama/0.33.0 (amd64 linux) Go/go1.26"}
    assert httpx.get(real.url, headers=program).text == "Ollama is running"
    assert httpx.head(real.url, headers=program).status_code == 200
    schema = httpx.get(f"{real.url}/api/v1/schema/", headers=program, timeout=60)
    assert (schema.status_code, "openapi" in schema.text[:200]) == (200, True)


def test_the_example_works_as_it_stands(real: Platform) -> None:
    example = PROJECT / "docs" / "examples" / "ollama_chat.py"
    command = [sys.executable, str(example), real.url, real.key, MODEL]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    lines = dict(line.split(": ", 1) for line in text.splitlines())
    assert MODEL in lines["models"]
    assert "Paris" in lines["answer"]
    assert lines["stream"].endswith((" stop", " length"))
    assert lines["refused"].startswith("404 ")
