"""The kind `sglang`, against what SGLang sends (0.5.x, entrypoints/openai of its source).

Each chunk has all of its fields, null or not; errors are bare objects; what its scheduler gives up
is an error event in a stream that has begun with 200, or an answer with the reason `abort`.
"""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from inference.codec import events as sse
from inference.engines.base import EngineFailed
from inference.engines.health.reachability import probe
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.transport.session import EngineSession
from inference.errors import BadRequest
from inference.order import Order
from inference.record.outcome import Outcome
from inference.validation import requests
from tests.inference.engines.served import Served, an_engine
from tests.inference.orders import an_order
from tests.inference.scripted import Traces, generation

pytestmark = pytest.mark.unit
QUESTION = {"role": "user", "content": "Hi"}
NAMES = {"id": "0f3a9c", "created": 1_800_000_000, "model": "theirs"}
USAGE = {
    "prompt_tokens": 12,
    "total_tokens": 17,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 8},  # with --enable-cache-report
    "reasoning_tokens": 2,
}
MODEL = {"id": "theirs", "object": "model", "owned_by": "sglang", "max_model_len": 4096}
MODELS = {"object": "list", "data": [MODEL]}
TOO_LONG = (
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You "
    "requested a total of 5000 tokens: 4000 tokens from the input messages and 1000 tokens for "
    "the completion."
)


def an_sglang(url: str = "http://x/v1", **config: Any) -> SglangEngine:
    engine = an_engine(url, SglangEngine, **config)
    assert isinstance(engine, SglangEngine)
    return engine


def chunk(reason: str | None = None, matched: Any = None, **delta: Any) -> bytes:
    said = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
    choice = {
        "index": 0,
        "delta": said,
        "logprobs": None,
        "finish_reason": reason,
        "matched_stop": matched,
    }
    told = {**NAMES, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
    return b"data: " + orjson.dumps(told) + b"\n\n"


def a_usage() -> bytes:
    told = {**NAMES, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    return b"data: " + orjson.dumps(told) + b"\n\n"


def an_error(message: str, kind: str, code: int) -> bytes:
    return orjson.dumps(
        {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    )


def in_stream(message: str, kind: str, code: int) -> bytes:
    return b'data: {"error": %b}\n\n' % an_error(message, kind, code)


DONE = b"data: [DONE]\n\n"
THOUGHT = (
    chunk(role="assistant", content=""),
    chunk(reasoning_content="Hm"),
    chunk(reasoning_content="m."),
    chunk(content="Hel"),
    chunk(content="lo"),
    chunk("stop", 151645),
    a_usage(),
    DONE,
)


@pytest.fixture
async def run(served: Served, session: EngineSession) -> Any:
    """What comes of an order, as a worker runs it: its outcome and its traces."""

    async def run(**order: Any) -> tuple[Outcome, Traces]:
        traces = Traces()
        handler = generation(an_sglang(served.url + "/v1"), an_order(**order))
        outcome = await handler.work_and_settle(
            session, traces.writer, traces.ledger, traces.cipher
        )
        assert outcome
        return outcome, traces

    return run


# Answers ----------------------------------------------------------------------------------------
async def test_a_stream_with_reasoning_and_usage(served: Served, run: Any) -> None:
    served.streams(*THOUGHT)
    outcome, traces = await run()
    assert (outcome.state, outcome.finish_reason) == ("done", "stop")
    assert (outcome.reasoning, outcome.text) == ("Hmm.", "Hello")
    figures = outcome.prompt_tokens, outcome.completion_tokens, outcome.cached_tokens
    assert figures == (12, 5, 8)
    shown = [sse.said_in(event) for event in traces.events]
    assert "".join(said.reasoning for said in shown) == "Hmm."
    assert sse.parsed(traces.events[-2])["choices"][0]["matched_stop"] == 151645
    assert traces.events[-1] == sse.DONE


async def test_a_whole_answer(served: Served, run: Any) -> None:
    message = {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "Hmm.",
        "tool_calls": None,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}
    told = {**NAMES, "object": "chat.completion", "choices": [choice | {"matched_stop": None}]}
    served.says(orjson.dumps({**told, "usage": USAGE, "metadata": {"weight_version": "default"}}))
    outcome, traces = await run(stream=False)
    assert (outcome.finish_reason, outcome.text, outcome.reasoning) == ("length", "Hello", "Hmm.")
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (12, 5)
    assert orjson.loads(traces.last.body)["model"] == "mock", "our name of it"


async def test_tools(served: Served, run: Any) -> None:
    call = {"id": "call_1", "index": 0, "type": "function"}
    begun = {**call, "function": {"name": "weather", "arguments": ""}}
    more = {
        "id": None,
        "index": 0,
        "type": "function",
        "function": {"name": None, "arguments": "{}"},
    }
    served.streams(
        chunk(role="assistant", content=""),
        chunk(tool_calls=[begun]),
        chunk(tool_calls=[more]),
        chunk("tool_calls"),
        a_usage(),
        DONE,
    )
    outcome, traces = await run()
    assert (outcome.state, outcome.finish_reason) == ("done", "tool_calls")
    assert b"weather" in b"".join(traces.events)


# Errors -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (
            400,
            an_error("Messages cannot be empty.", "BadRequestError", 400),
            "invalid_request",
            "empty",
        ),
        (400, an_error(TOO_LONG, "BadRequestError", 400), "context_length_exceeded", "4096 tokens"),
        (
            500,  # as versions before 0.5.4 told it
            an_error(f"Internal server error: {TOO_LONG}", "InternalServerError", 500),
            "context_length_exceeded",
            "maximum context length",
        ),
        (500, an_error("CUDA out of memory", "InternalServerError", 500), "engine_failed", "500"),
        (503, an_error("The request queue is full.", "X", 503), "server_overloaded", "is full"),
        (503, b"Bad gateway", "engine_unavailable", "refused"),  # not in its own words
        (400, b'{"error": {"message": "no", "code": 400}}', "invalid_request", "no"),
    ],
)
async def test_an_error_answer(
    served: Served, session: EngineSession, status: int, body: bytes, code: str, says: str
) -> None:
    served.says(body, status)
    with pytest.raises(EngineFailed, match=says) as failed:
        await an_sglang(served.url + "/v1").answer(session, an_order(stream=False))
    assert failed.value.code == code
    assert failed.value.counts is (code in ("engine_failed", "engine_unavailable"))
    assert "CUDA" not in failed.value.message, "an engine's own trouble is no client's"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("The request queue is full.", 503),
        ("The request is aborted by a higher priority request.", 503),
        ("Generation aborted.", 500),
    ],
)
async def test_what_its_scheduler_gives_up(
    served: Served, run: Any, message: str, status: int
) -> None:
    served.streams(in_stream(message, "SERVICE_UNAVAILABLE", status), DONE)
    outcome, traces = await run()
    wanted = (503, "server_overloaded") if status == 503 else (502, "engine_failed")
    assert (outcome.status, outcome.error_code) == wanted
    assert traces.error["code"] == wanted[1]


async def test_a_clients_mistake_that_shows_in_the_stream(served: Served, run: Any) -> None:
    served.streams(in_stream("Invalid schema", "BadRequestError", 400), DONE)
    outcome, traces = await run()
    assert (outcome.status, outcome.error_code) == (400, "invalid_request")
    assert "Invalid schema" in traces.error["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_it_aborts_is_not_over(served: Served, run: Any, stream: bool) -> None:
    """As /abort_request of an operator or its own end has it."""
    if stream:
        served.streams(
            chunk(role="assistant"), chunk(content="Hel"), chunk("abort"), a_usage(), DONE
        )
    else:
        message = {"role": "assistant", "content": "Hel"}
        choice = {"index": 0, "message": message, "finish_reason": "abort"}
        served.says(orjson.dumps({**NAMES, "choices": [choice], "usage": USAGE}))
    outcome, traces = await run(stream=stream)
    assert (outcome.state, outcome.error_code) == ("failed", "engine_failed")
    assert b"abort" not in b"".join(frame.body for frame in traces.frames[:-1])


# Requests ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("klass", "priority"), [("realtime", 0), ("batch", -10), ("gone", -50)])
def test_with_priorities_each_request_has_one(klass: str, priority: int) -> None:
    """The higher goes first, and none at all would be the lowest."""
    order = an_order(klass=klass, tenant_id=uuid4())
    body = orjson.loads(an_sglang(priority_scheduling=True).outgoing(order))
    assert (body["priority"], body["cache_salt"]) == (priority, salt(order.tenant_id))
    assert "priority" not in orjson.loads(an_sglang().outgoing(order)), "it may be refused"


def test_its_own_fields_reach_it_and_no_others() -> None:
    own = {"min_tokens": 5, "max_tokens": 9, "separate_reasoning": True, "top_k": 4}
    body = {"model": "smol", "messages": [QUESTION], **own}
    requests.check_chat(body, an_sglang())
    assert own.items() <= an_sglang().prepare(body, chat=True).items()
    ignored = {"guided_json", "structured_outputs", "bad_words", "stream_reasoning", "rid"}
    outside = ignored | {"regex", "ebnf"}  # which may hold up the engine for everybody
    for chat in (True, False):
        assert not outside & an_sglang().fields(chat=chat).keys()
    with pytest.raises(BadRequest, match="regex"):
        requests.check_chat({"messages": [QUESTION], "regex": "(a+)+$"}, an_sglang())


def continued(text: str = "Hel", *, chat: bool = True, **body: Any) -> Any:
    asked = {"messages": [QUESTION], **body} if chat else {"prompt": "Say: ", **body}
    found = an_sglang().continued(an_order(chat=chat, body=orjson.dumps(asked)), text, 3)
    return found and orjson.loads(found)


def test_an_answer_is_taken_up_by_its_text() -> None:
    body = continued(max_tokens=10, min_tokens=5)
    assert body["messages"] == [QUESTION, {"role": "assistant", "content": "Hel"}]
    assert body["continue_final_message"] is True
    assert "add_generation_prompt" not in body, "a field of vLLM's"
    assert (body["max_tokens"], body["min_tokens"]) == (7, 2)
    assert continued(chat=False)["prompt"] == "Say: Hel"
    assert continued(response_format={"type": "json_object"}) is None, "it would begin anew"
    begun = {"role": "assistant", "content": "Hel", "prefix": True}
    given = an_sglang().prepare({"model": "smol", "messages": [QUESTION, begun]}, chat=True)
    assert given["messages"][-1] == {"role": "assistant", "content": "Hel"}
    assert given["continue_final_message"] is True


def test_repetitions_are_counted_from_where_it_begins() -> None:
    """So an answer that is parked would not be what it would have been."""
    for factor, keeps in ((None, True), (1.0, True), (1.1, False)):
        body = orjson.dumps({"messages": [QUESTION], "repetition_penalty": factor})
        assert an_sglang().resumes_unchanged(an_order(body=body)) is keeps


async def test_a_stream_goes_on_where_another_worker_died(
    served: Served, session: EngineSession
) -> None:
    served.streams(chunk(role="assistant"), chunk(content="lo"), chunk("stop"), a_usage(), DONE)
    before = [chunk(content="Hel").strip()]
    order: Order = an_order(body=orjson.dumps({"messages": [QUESTION], "stream": True}))
    traces, handler = Traces(), generation(an_sglang(served.url + "/v1"), order, 2, before)
    outcome = await handler.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
    assert outcome
    assert (outcome.text, outcome.completion_tokens) == ("Hello", 6)
    asked = orjson.loads(served.asked[-1][1])
    assert asked["messages"][-1] == {"role": "assistant", "content": "Hel"}


# What it says of itself -------------------------------------------------------------------------
INFO = {"model_path": "x", "is_generation": True, "has_image_understanding": True}


@pytest.mark.parametrize("path", ["/model_info", "/get_model_info"])
async def test_what_its_model_is(served: Served, path: str) -> None:
    told: dict[str, Any] = dict(INFO)

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(told) if request.path == path else web.Response(status=404)

    served.handler = handler
    engine = an_sglang(served.url + "/v1")
    assert await probe([engine]) == []
    assert engine.known == {"text": True, "embeddings": False, "images": True, "files": False}
    told["is_generation"] = False
    assert await probe([engine]) == []
    assert engine.known == {"text": False, "images": True, "files": False}
    with pytest.raises(BadRequest, match="`smol` makes no text: it takes neither chats nor"):
        requests.check_chat({"messages": [QUESTION]}, engine)


async def test_its_context_and_its_health(served: Served, session: EngineSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response(MODELS)
        return web.Response(status=503)  # it starts, or its scheduler is frozen

    served.handler = handler
    engine = an_sglang(served.url + "/v1")
    assert await probe([engine]) == []
    assert engine.context_length == 4096
    assert not await engine.is_alive(session)
    assert served.asked[-1][0] == "/health"
    assert await engine.answers(session), "that would take a token, and so long as one takes"
    assert served.asked[-1][0] == "/v1/models"
