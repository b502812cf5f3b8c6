"""The real engine process: killed in mid-answer, it comes back by itself."""

import json
import os
import signal
import time

import pytest

from tests.e2e.ask import Record, chat, events, eventually, stream
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e
LONG = [{"role": "user", "content": "Write a very long story about a river."}]
# Each next token leads the second by at least 2.1 in its logarithm. Reading a text again in another
# batch, the engine rounds otherwise, and where two tokens are nearly as likely, they change places.
DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, "
PLAIN = [{"role": "user", "content": "Repeat without end: " + DAYS * 6}]
MODEL = "smollm2-135m"


def test_a_killed_engine_is_an_error_and_comes_back(real: Platform) -> None:
    with stream(real, model=MODEL, messages=LONG, max_tokens=1000) as answer:
        record = Record(real, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        got = [next(reading) for _ in range(10)]
        (engine,) = real.pids("engine")
        os.kill(engine, signal.SIGKILL)
        got += list(reading)
    assert got[-1][1] == "[DONE]"
    assert json.loads(got[-2][1])["error"]["code"] == "engine_failed"
    assert not any('"finish_reason":"' in data for _, data in got)
    (usage,) = record.usage()
    assert usage["finish_reason"] == "error"
    assert usage["completion_tokens"] > 5
    again = eventually(lambda: chat(real, model=MODEL, max_tokens=3).status_code == 200, 20)
    assert again
    assert real.pids("engine") != [engine]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a{3,1}$"},
        {"type": "string", "pattern": "^(a?){300}a{300}$"},
        {"type": "string", "minLength": 3, "maxLength": 1},
        {"properties": {"_" * 30_000: {"type": "string"}}},
        {"anyOf": [{"type": "array", "minItems": n, "items": {"$ref": "#"}} for n in (1, 2)]},
    ],
)
def test_a_schema_that_would_stop_it_never_reaches_it(
    real: Platform, schema: dict[str, object]
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for said in ({"stream": False}, {"stream": True}):
        answer = chat(real, model=MODEL, response_format=form, max_tokens=3, **said)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == "response_format"
    assert chat(real, model=MODEL, max_tokens=3).status_code == 200


def test_a_cancelled_answer_counts_the_prompt_exactly(real: Platform) -> None:
    whole = chat(real, model=MODEL, messages=LONG, max_tokens=1).json()["usage"]
    with stream(real, model=MODEL, messages=LONG, max_tokens=1000) as answer:
        record = Record(real, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        for _ in range(10):
            next(reading)
    left_at = time.monotonic()
    eventually(lambda: record.state() == "cancelled", 5)
    assert time.monotonic() - left_at < 2
    (usage,) = record.usage()
    assert usage["prompt_tokens"] == whole["prompt_tokens"]
    assert 8 <= usage["completion_tokens"] < 500


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
def test_a_killed_worker_does_not_cost_a_stream_a_token(real: Platform) -> None:
    asked = {"model": MODEL, "messages": PLAIN, "max_tokens": 90, "temperature": 0}
    whole = chat(real, **asked).json()
    with stream(real, stream_options={"include_usage": True}, **asked) as answer:
        record = Record(real, answer.headers["x-request-id"])
        reading = events(answer.iter_lines())
        got = [next(reading) for _ in range(12)]
        (worker,) = real.pids("worker")
        os.kill(worker, signal.SIGKILL)
        got += list(reading)
    assert [number for number, _ in got] == list(range(1, len(got) + 1))
    chunks = [json.loads(data) for _, data in got[:-1]]
    pieces = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert whole["usage"]["completion_tokens"] > 60
    (usage,) = record.usage()
    assert usage["attempts"] == 2
    assert usage["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert usage["prompt_tokens"] == whole["usage"]["prompt_tokens"]
