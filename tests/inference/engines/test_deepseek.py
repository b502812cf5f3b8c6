"""The kind `deepseek`, against a server that answers in the shapes of its documentation."""

import logging
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from inference.engines.base import EngineAway, EngineFailed
from inference.engines.kinds.deepseek import DeepSeekEngine, user_id, with_details
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from inference.errors import BadRequest
from inference.order import Order
from inference.validation import requests
from tests.inference.engines.served import Served, an_engine, heard
from tests.inference.orders import an_order
from tests.inference.scripted import Traces, generation

pytestmark = pytest.mark.unit
QUESTION = {"role": "user", "content": "What is the highest mountain?"}
BEGUN = {"role": "assistant", "content": "It is", "prefix": True}
NAMES = {
    "id": "930c60df-bf64-41c9-a88e-3ec75f81e00e",
    "created": 1705651092,
    "model": "deepseek-flash",
    "system_fingerprint": "fp_a49d71b8a1",
}
USAGE = {
    "prompt_tokens": 16,
    "completion_tokens": 10,
    "total_tokens": 26,
    "prompt_cache_hit_tokens": 12,
    "prompt_cache_miss_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def a_deepseek(url: str = "http://x", **config: Any) -> DeepSeekEngine:
    engine = an_engine(url, DeepSeekEngine, **config)
    assert isinstance(engine, DeepSeekEngine)
    return engine


def an_answer(**more: Any) -> bytes:
    message = {"role": "assistant", "content": "Everest", "reasoning_content": "The user asks"}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    told = {**NAMES, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return orjson.dumps({**told, **more})


def a_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    told = {**NAMES, "object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: " + orjson.dumps(told) + b"\n\n"


STREAM = [
    b": keep-alive\n\n",
    a_chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
    a_chunk({"content": None, "reasoning_content": "The user asks"}),
    a_chunk({"content": "Everest", "reasoning_content": None}),
    a_chunk({"content": "", "reasoning_content": None}, "stop", usage=USAGE),
    b"data: [DONE]\n\n",
]


def an_error(message: str, kind: str = "invalid_request_error") -> bytes:
    error = {"message": message, "type": kind, "param": None, "code": kind}
    return orjson.dumps({"error": error})


# Where it is asked, and with what ---------------------------------------------------------------
@pytest.mark.parametrize("base", ["", "/v1", "/beta", "/v1/"])
async def test_beginnings_are_continued_in_beta(
    served: Served, session: EngineSession, base: str
) -> None:
    served.says(an_answer())
    engine = a_deepseek(served.url + base, api_key="sk")
    chat = orjson.dumps({"messages": [QUESTION]})
    begun = orjson.dumps({"messages": [QUESTION, BEGUN]})
    named_so = orjson.dumps({"messages": [QUESTION], "tools": [{"properties": {"prefix": True}}]})
    for body in (chat, begun, named_so):
        await engine.answer(session, an_order(body=body))
    await engine.answer(session, an_order(chat=False, body=b'{"prompt":"a","suffix":"c"}'))
    assert [path for path, _, _ in served.asked] == [
        "/chat/completions",
        "/beta/chat/completions",
        "/chat/completions",
        "/beta/completions",
    ]
    assert served.asked[-1][1:] == (b'{"prompt":"a","suffix":"c"}', "Bearer sk")


def test_each_tenant_has_a_user_id_that_says_nothing_of_it() -> None:
    acme, globex = uuid4(), uuid4()

    def sent(tenant: Any) -> Any:
        return orjson.loads(a_deepseek().outgoing(an_order(tenant_id=tenant)))["user_id"]

    assert sent(acme) == sent(acme) == user_id(acme) != sent(globex)
    assert sent(acme) != salt(acme), "the secret of our own caches stays here"
    assert acme.hex not in sent(acme)


def test_it_is_hosted_whatever_the_entry_says() -> None:
    assert a_deepseek("https://api.deepseek.com", hosted=False).config.hosted
    assert a_deepseek("https://api.deepseek.com").upstream.endswith(" api.deepseek.com")


@pytest.mark.parametrize(
    "body",
    [
        {"logit_bias": {"1": 5}},
        {"chat_template_kwargs": {"thinking": True}},
        {"user_id": "somebody else"},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        {"tools": [{"type": "web_search"}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    ],
)
def test_what_deepseek_does_not_take_is_refused_here(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        requests.check_chat({"messages": [QUESTION], **body}, a_deepseek())


def test_what_it_takes_reaches_it() -> None:
    own = {
        "thinking": {"type": "enabled"},
        "reasoning_effort": "high",
        "response_format": {"type": "json_object"},
        "logprobs": True,
    }
    thought = {"role": "assistant", "content": "Everest", "reasoning_content": "The user asks"}
    body = {"model": "smol", "messages": [QUESTION, thought, QUESTION], "user": "Ann", **own}
    requests.check_chat(body, a_deepseek())
    prepared = a_deepseek().prepare(body, chat=True)
    assert own.items() <= prepared.items()
    assert prepared["messages"][1] == thought
    assert "user" not in prepared, "it may name a person"


def test_a_body_that_was_prepared_for_vllm_goes_on_in_its_last_message() -> None:
    ours = an_engine("http://x/v1", VllmEngine)
    asked = {"model": "smol", "messages": [QUESTION, BEGUN]}
    body = orjson.dumps(ours.prepare(asked, chat=True))
    adopted = orjson.loads(a_deepseek().adopted(an_order(body=body)).body)
    assert adopted["messages"] == [QUESTION, BEGUN]
    assert adopted.keys() == {"model", "messages"}


def continued(text: str = " Mount", *, chat: bool = True, **body: Any) -> Any:
    asked = {"messages": [QUESTION], **body} if chat else {"prompt": "It is", **body}
    found = a_deepseek().continued(an_order(chat=chat, body=orjson.dumps(asked)), text, 2)
    return found and orjson.loads(found)


def test_a_broken_stream_goes_on() -> None:
    new = {"role": "assistant", "content": " Mount", "prefix": True}
    assert continued(max_tokens=9) == {"messages": [QUESTION, new], "max_tokens": 7}
    begun = continued(messages=[QUESTION, BEGUN])
    assert begun["messages"] == [QUESTION, {**BEGUN, "content": "It is Mount"}]
    assert continued("") == {"messages": [QUESTION]}
    assert continued(chat=False) == {"prompt": "It is Mount"}
    assert continued(chat=False, suffix="high") is None
    assert continued(tools=[{}]) is None


# What it answers --------------------------------------------------------------------------------
async def outcome(served: Served, order: Order) -> tuple[Any, Traces]:
    """By way of the worker."""
    traces = Traces()
    async with EngineSession() as session:
        run = generation(a_deepseek(served.url), order)
        found = await run.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
    return found, traces


async def test_cache_hits_are_in_usage_and_are_paid_as_such(served: Served) -> None:
    served.says(b"\n\n\n" + an_answer())  # it sends empty lines while it is busy
    found, traces = await outcome(served, an_order(stream=False))
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (16, 12, 10)
    told = orjson.loads(traces.last.body)
    assert told["usage"]["prompt_tokens_details"] == {"cached_tokens": 12}
    assert told["usage"]["prompt_cache_hit_tokens"] == 12
    assert told["choices"][0]["message"]["reasoning_content"] == "The user asks"
    assert (found.text, found.reasoning) == ("Everest", "The user asks")


async def test_a_stream_with_reasoning(served: Served) -> None:
    served.streams(*STREAM)
    found, traces = await outcome(served, an_order(include_usage=True))
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (16, 12, 10)
    assert (found.text, found.reasoning) == ("Everest", "The user asks")
    *answer, usage, _ = traces.events
    deltas = [orjson.loads(event[6:])["choices"][0]["delta"] for event in answer]
    assert deltas[1] == {"content": None, "reasoning_content": "The user asks"}
    last = orjson.loads(usage[6:])
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 12}
    assert b"930c60df" not in b"".join(traces.events), "its names are not ours"


async def test_without_a_chat_the_cache_stays_untold(served: Served) -> None:
    choice = {"text": "b", "index": 0, "logprobs": None, "finish_reason": "stop"}
    served.says(an_answer(object="text_completion", choices=[choice]))
    order = an_order(chat=False, stream=False, body=b'{"prompt":"a","suffix":"c"}')
    found, traces = await outcome(served, order)
    assert (found.text, found.prompt_tokens, found.cached_tokens) == ("b", 16, 0)
    assert b"cache" not in traces.last.body


def test_details_that_are_there_stay() -> None:
    told = b'{"prompt_tokens_details":{"cached_tokens":3},"prompt_cache_hit_tokens":3}'
    assert with_details(told) == told
    assert with_details(b'{"content":"\\"prompt_cache_hit_tokens\\":3"}').count(b"details") == 0


@pytest.mark.parametrize(
    ("status", "message", "meaning"),
    [
        (400, "Failed to deserialize the JSON body", (400, "invalid_request")),
        (400, "This model's maximum context length is 65536", (400, "context_length_exceeded")),
        (422, "Invalid max_tokens value", (400, "invalid_request")),
        (429, "Rate limit reached", (503, "server_overloaded")),
        (500, "Internal error", (502, "engine_failed")),
        (503, "Server overloaded", (503, "engine_unavailable")),
    ],
)
async def test_what_its_errors_mean(
    served: Served, session: EngineSession, status: int, message: str, meaning: tuple[int, str]
) -> None:
    served.says(an_error(message), status)
    with pytest.raises(EngineFailed) as failed:
        await heard(a_deepseek(served.url), session, an_order())
    assert (failed.value.status, failed.value.code) == meaning


@pytest.mark.parametrize(
    ("status", "message"),
    [(402, "Insufficient Balance"), (401, "Authentication Fails (no such user)")],
)
async def test_our_account_is_our_problem(
    served: Served,
    session: EngineSession,
    caplog: pytest.LogCaptureFixture,
    status: int,
    message: str,
) -> None:
    served.says(an_error(message), status)
    with caplog.at_level(logging.ERROR), pytest.raises(EngineFailed) as failed:
        await a_deepseek(served.url, id="far").answer(session, an_order())
    assert (failed.value.status, failed.value.code) == (503, "engine_unavailable")
    assert not isinstance(failed.value, EngineAway), "it is not asked again and again"
    assert failed.value.counts, "its breaker counts it, and another pool takes the request"
    assert message not in failed.value.message
    assert f"ALERT engine:account far: the hosted service answers {status}" in caplog.text


async def test_an_empty_balance_is_seen_before_a_request_is(
    served: Served, session: EngineSession
) -> None:
    engine = a_deepseek(served.url + "/v1")
    infos = [{"currency": "CNY", "total_balance": "0.00"}]
    for status, body, there in (
        (200, {"is_available": True, "balance_infos": infos}, True),
        (200, {"is_available": False, "balance_infos": infos}, False),
        (200, [], True),
        (404, {}, True),
        (401, {}, False),
        (500, {}, False),
    ):
        served.says(orjson.dumps(body), status)
        assert await engine.answers(session) is there
    assert served.asked[0][0] == "/user/balance"


async def test_a_balance_that_is_no_json_says_nothing(
    served: Served, session: EngineSession
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    served.handler = page
    assert await a_deepseek(served.url).answers(session)
