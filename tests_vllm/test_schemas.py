"""Schemas at the bounds of inference/validation/schema_bounds.py, with a real vLLM's grammar.

vLLM and SGLang have the same by default, xgrammar: it writes counted repetitions out and follows
all choices that fit. `make test-vllm`.
"""

import asyncio
import time
from typing import Any

import msgspec
import orjson
import pytest

from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order
from inference.validation import requests
from tests.inference.orders import an_order
from tests.inference.scripted import Traces, generation

pytestmark = [pytest.mark.unit, pytest.mark.timeout(900)]
Schema = dict[str, Any]
PATIENCE_S = 300  # of a CPU that others use too
SHORT = {"type": "string", "maxLength": 8}
PASSING: dict[str, Schema] = {
    "a long pattern": {"type": "string", "pattern": "^([a-z]{1,62} ){1,63}$"},
    "a long repetition": {"type": "string", "pattern": "^[a-z]{1,128}$"},
    "a pattern of words": {"type": "string", "pattern": "^([a-z]+ ?)+$"},
    "a long text": {"type": "string", "maxLength": 10_000},
    "a most that is not passed on": {"type": "string", "maxLength": 2**32 + 1},
    "a long list": {"type": "array", "items": SHORT, "maxItems": 10_000},
    "a list that must be long": {"type": "array", "items": {"type": "integer"}, "minItems": 2000},
    "lists in lists": {
        "type": "array",
        "maxItems": 1000,
        "items": {"type": "array", "maxItems": 1000, "items": {"type": "integer"}},
    },
    "many values": {"enum": [f"value-{n}" for n in range(2000)]},
    "many optional fields": {
        "type": "object",
        "properties": {f"p{n}": {"type": "integer"} for n in range(500)},
    },
}


def asked(engine: VllmEngine, **fields: Any) -> Order:
    """As intake checks and prepares it."""
    question = [{"role": "user", "content": "Give me some JSON."}]
    body = {"model": "smol", "messages": question, "temperature": 0, "max_tokens": 4, **fields}
    requests.check_chat(body, engine)
    prepared = orjson.dumps(engine.prepare(body, chat=True))
    return an_order(body=prepared, stream=False, deadline=time.time() + PATIENCE_S)


@pytest.mark.parametrize("name", PASSING)
async def test_a_schema_that_passes_holds_no_other_request_up(
    engine: VllmEngine, session: EngineSession, name: str
) -> None:
    form = {"name": "x", "schema": PASSING[name]}
    shaped = asked(engine, response_format={"type": "json_schema", "json_schema": form})
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(
            engine.answer(session, shaped), engine.answer(session, asked(engine))
        )
    for answer in answers:
        assert orjson.loads(answer)["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_pattern_that_its_grammar_cannot_count_is_the_clients_mistake(
    engine: VllmEngine, session: EngineSession, stream: bool
) -> None:
    """xgrammar 0.2 counts to 128. With one that counts further this fails: lift the bound then."""
    schema = {"type": "string", "pattern": "^[a-z]{1,129}$"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    order = msgspec.structs.replace(
        asked(engine, response_format=form, stream=stream), stream=stream
    )
    traces = Traces()
    run = generation(engine, order)
    await run.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
    assert traces.last.status == 400
    assert "counts above 128" in traces.error["message"]
    assert await engine.answer(session, asked(engine))
