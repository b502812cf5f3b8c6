"""Engines: what they are sent, how their answers are read, and what their errors mean."""

import time
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines import KINDS, base
from inference.engines.base import (
    AnswerTooLong,
    Engine,
    EngineAway,
    EngineFailed,
    error_in,
)
from inference.engines.health.reachability import probe
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.prompt_bound import Template
from inference.engines.transport.session import EngineSession
from tests.inference.engines.served import Served, an_engine, heard
from tests.inference.orders import an_order, chunk, event, usage
from tests.inference.scripted import Traces, generation

pytestmark = pytest.mark.unit


async def test_a_whole_answer(served: Served, session: EngineSession) -> None:
    served.says(b'{"choices":[]}')
    engine, order = an_engine(served.url + "/v1/", api_key="secret"), an_order(body=b'{"a":1}')
    assert await engine.answer(session, order) == b'{"choices":[]}'
    assert served.asked == [("/v1/chat/completions", b'{"a":1}', "Bearer secret")]


async def test_the_paths_of_each_kind(served: Served, session: EngineSession) -> None:
    served.says(b'{"total_slots":4}')  # asked of llama.cpp, once
    for engine in (an_engine(served.url + "/v1"), an_engine(served.url, LlamaCppEngine)):
        for chat in (True, False):
            await engine.answer(session, an_order(chat=chat))
    paths = [path for path, _, _ in served.asked]
    asked = ["/v1/chat/completions", "/v1/completions"]
    assert paths == [*asked, "/props", *asked]
    assert served.asked[0][2] is None


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
async def test_events_are_whole_however_they_are_cut(
    served: Served, session: EngineSession, newline: bytes
) -> None:
    events = [b'data: {"n":%d}' % n for n in range(5)] + [b": note", b"data: [DONE]"]
    stream = b"".join(event + newline * 2 for event in events)
    for size in (1, 7, 1000):
        served.streams(*[stream[i : i + size] for i in range(0, len(stream), size)])
        assert await heard(an_engine(served.url), session, an_order()) == events


async def test_azures_first_event_which_has_no_name_is_left_out(
    served: Served, session: EngineSession
) -> None:
    results = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    nameless = {"choices": [], "created": 0, "id": "", "model": "", "object": "", **results}
    events = [event(nameless), chunk("Hi"), chunk(finish="stop"), usage(), b"data: [DONE]"]
    served.streams(*(each + b"\n\n" for each in events))
    assert await heard(an_engine(served.url), session, an_order()) == events[1:]


async def test_a_last_event_without_its_blank_line_counts(
    served: Served, session: EngineSession
) -> None:
    served.streams(b"data: 1\n\ndata: 2")
    assert await heard(an_engine(served.url), session, an_order()) == [b"data: 1", b"data: 2"]


async def test_a_stream_that_is_cut_is_told_from_one_that_never_began(
    served: Served, session: EngineSession
) -> None:
    served.streams(b"data: 1\n\n", 0.05, cut=True)
    events = an_engine(served.url).events(session, an_order())
    assert await anext(events) == [b"data: 1"]
    with pytest.raises(EngineFailed) as broken:
        await anext(events)
    assert (broken.value.status, broken.value.code) == (502, "engine_failed")
    assert not isinstance(broken.value, EngineAway)


async def test_nobody_there_is_away(session: EngineSession) -> None:
    nowhere = an_engine("http://127.0.0.1:1")
    with pytest.raises(EngineAway):
        await heard(nowhere, session, an_order())
    with pytest.raises(EngineAway) as away:
        await nowhere.answer(session, an_order())
    assert (away.value.status, away.value.retry_after) == (503, 2)


async def test_one_that_hangs_up_over_a_request_does_not_get_it_again(
    served: Served, session: EngineSession
) -> None:
    async def hangs_up(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        return web.Response()

    served.handler = hangs_up
    engine = an_engine(served.url)
    for stream in (True, False):
        traces, order = Traces(), an_order(stream=stream, deadline=time.time() + 5)
        await generation(engine, order).work_and_settle(
            session, traces.writer, traces.ledger, traces.cipher
        )
        assert (traces.last.status, traces.error["code"]) == (502, "engine_failed")
    assert len(served.asked) == 2


async def test_an_answer_without_end_is_not_read(
    served: Served, session: EngineSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LONGEST_ANSWER", 1_000_000)
    engine = an_engine(served.url)
    served.streams(*[b"x" * 100_000] * 10)
    assert len(await engine.answer(session, an_order())) == 1_000_000
    served.says(b"x" * 1_000_001)
    with pytest.raises(AnswerTooLong, match="1000000 bytes") as refused:
        await engine.answer(session, an_order())
    assert (refused.value.status, refused.value.code) == (502, "answer_too_long")


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_without_an_end_is_an_error_and_no_answer(
    served: Served, session: EngineSession, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """An answer that is too long was generated, and is paid for: a page of a proxy was not."""
    monkeypatch.setattr(base, "LONGEST_ANSWER", 1_000_000)
    engine, order = an_engine(served.url), an_order(stream=stream)
    served.says(b"<html>" + b"x" * 2_000_000, status=503)
    with pytest.raises(EngineAway):
        await (heard(engine, session, order) if stream else engine.answer(session, order))
    served.says(b"<html>" + b"x" * 2_000_000, status=500)
    with pytest.raises(EngineFailed, match="answered 500") as failed:
        await (heard(engine, session, order) if stream else engine.answer(session, order))
    assert failed.value.counts


@pytest.mark.parametrize(
    ("status", "message", "meaning"),
    [
        (503, "Loading model", (503, "engine_unavailable")),
        (400, "the request exceeds the available context size", (400, "context_length_exceeded")),
        (400, "maximum context length is 2048 tokens", (400, "context_length_exceeded")),
        (500, "input is larger than the maximum context", (400, "context_length_exceeded")),
        (400, "`tools` is not supported", (400, "invalid_request")),
        (422, "field required", (400, "invalid_request")),
        (413, "too large", (400, "invalid_request")),
        (429, "slow down", (503, "server_overloaded")),
        (401, "wrong key", (503, "engine_unavailable")),
        (404, "no such model", (502, "engine_failed")),
        (500, "CUDA error", (502, "engine_failed")),
        (500, "failed to create a context: only 2 GB are left", (502, "engine_failed")),
    ],
)
async def test_what_an_engines_refusal_means(
    served: Served,
    session: EngineSession,
    status: int,
    message: str,
    meaning: tuple[int, str],
) -> None:
    served.says(orjson.dumps({"error": {"message": message}}), status)
    for ask in (an_engine(served.url).answer(session, an_order()), _first(served, session)):
        with pytest.raises(EngineFailed) as refused:
            await ask
        assert (refused.value.status, refused.value.code) == meaning
    if status == 401:
        assert "wrong key" not in refused.value.message  # ours is nobody's business


@pytest.mark.parametrize(
    "message",
    [
        "image input is not supported - hint: if this is unexpected, you may need the mmproj",
        'Failed to parse tools: Unsupported tool type: {"type":"web_search"}; tools = [...]',
        "Missing tool function: {}",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_what_llama_cpp_calls_its_own_fault_and_is_the_clients(message: str) -> None:
    refused = an_engine("http://x", LlamaCppEngine).refusal(500, _error(message))
    assert (refused.status, refused.code, refused.message) == (400, "invalid_request", message)
    broken = an_engine("http://x", LlamaCppEngine).broken(_error(message))
    assert broken.status == 400


@pytest.mark.parametrize("message", ["Compute error.", "Failed to allocate", ""])
def test_what_is_llama_cpps_own_fault(message: str) -> None:
    assert an_engine("http://x", LlamaCppEngine).refusal(500, _error(message)).status == 502


def test_an_error_in_mid_stream_tells_whose_fault_it_is() -> None:
    engine = an_engine("http://x")
    for code, status in ((400, 400), (422, 400), (500, 502), (None, 502), ("x", 502)):
        event = orjson.dumps({"error": {"message": "no", "code": code}})
        assert engine.broken(event).status == status


def _error(message: str, **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "server_error", **more}})


@pytest.mark.parametrize(
    ("message", "more", "says"),
    [
        (
            "request (4031 tokens) exceeds the available context size (2048 tokens), try it",
            {"n_prompt_tokens": 4031, "n_ctx": 2048},
            "maximum context length is 2048 tokens. However, your messages resulted in 4031 tokens",
        ),
        ("The input (9 tokens) is longer than the model's context length (8 tokens).", {}, "(The"),
        ("However, the model's context length is only 2048 tokens", {}, "is 8192 tokens. However"),
        (
            "This model's maximum context length is 64 tokens. However, your request has 65.",
            {},
            "64 tokens. However, your request has 65.",
        ),
    ],
)
def test_a_context_that_is_too_short_is_told_in_openais_words(
    message: str, more: dict[str, Any], says: str
) -> None:
    refused = an_engine("http://x").refusal(400, _error(message, **more))
    assert (refused.status, refused.code) == (400, "context_length_exceeded")
    assert refused.message.startswith("This model's maximum context length is ")
    assert says in refused.message


PROPS = {
    "modalities": {"vision": True, "audio": False, "video": False},
    "chat_template_caps": {"supports_tools": False},
    "default_generation_settings": {"n_ctx": 2048},
    "total_slots": 6,
}


async def test_llama_cpp_tells_what_its_model_can_take(
    served: Served, session: EngineSession
) -> None:
    engine = an_engine(served.url, LlamaCppEngine, api_key="k")
    assert engine.capabilities.tools, "nobody knows yet: the engine may say no"
    for body, status in ((b"no", 500), (b"[]", 200), (b'{"modalities":{}}', 200)):
        served.says(body, status)
        assert not await engine.probe(session)
    assert engine.capabilities.tools
    served.says(orjson.dumps(PROPS))
    assert await probe([engine]) == []
    can = engine.capabilities
    assert (can.images, can.audio, can.video, can.files, can.tools) == (
        True,
        False,
        False,
        False,
        False,
    )
    assert ("/props", b"", "Bearer k") in served.asked
    tasks = {"text", "embeddings", "rerank", "dimensions"}
    assert engine.known.keys() == {"images", "audio", "video", "files", "tools"} | tasks
    assert engine.capabilities.text
    assert (engine.context_length, engine.reported_slots) == (2048, 6)


@pytest.mark.parametrize("name", ["/server_info", "/get_server_info"])
async def test_sglang_says_how_many_slots_it_has_where_that_counts(
    served: Served, session: EngineSession, name: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path != name:
            return web.Response(status=404)
        ranks = [{"effective_max_running_requests_per_dp": 24}] * 2
        return web.json_response({"internal_states": ranks})

    served.handler = handler
    assert await an_engine(served.url + "/v1", SglangEngine).probe(session)
    assert not any("server_info" in path for path, *_ in served.asked)
    engine = an_engine(served.url + "/v1", SglangEngine, auto_slots=True)
    assert await engine.probe(session)
    assert engine.reported_slots == 48
    served.says(b"[]")
    assert await engine.probe(session)
    assert engine.reported_slots == 48, "what it said last"
    away = an_engine("http://127.0.0.1:1", SglangEngine, auto_slots=True)
    assert await probe([away]) == [away]


def _token(text: str, *others: str) -> dict[str, Any]:
    top = [{"token": other, "logprob": -1.5} for other in (text, *others)]
    return {"id": 1, "token": text, "bytes": [], "logprob": -1.5, "top_logprobs": top}


def _text_answer(*tokens: dict[str, Any]) -> bytes:
    text = "".join(token["token"] for token in tokens)
    return orjson.dumps({"choices": [{"text": text, "logprobs": {"content": tokens}}]})


async def test_logprobs_of_a_text_have_openais_shape(
    served: Served, session: EngineSession
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return web.json_response({"total_slots": 1})
        asked = orjson.loads(await request.read())
        first, second = _token("Hé", "x"), _token(" you")
        if not asked.get("stream"):
            return web.Response(body=_text_answer(first, second))
        events = [b"data: " + _text_answer(each) + b"\n\n" for each in (first, second)]
        return web.Response(body=b"".join([*events, b"data: [DONE]\n\n"]))

    served.handler = handler
    engine = an_engine(served.url, LlamaCppEngine)
    asked = an_order(chat=False, body=b'{"prompt":"x","logprobs":2}')
    (choice,) = orjson.loads(await engine.answer(session, asked))["choices"]
    assert choice["logprobs"] == {
        "tokens": ["Hé", " you"],
        "token_logprobs": [-1.5, -1.5],
        "top_logprobs": [{"Hé": -1.5, "x": -1.5}, {" you": -1.5}],
        "text_offset": [0, 2],
    }
    streamed = an_order(chat=False, body=b'{"prompt":"x","logprobs":2,"stream":true}')
    one, two, done = await heard(engine, session, streamed)
    found = [orjson.loads(event[5:])["choices"][0]["logprobs"] for event in (one, two)]
    assert [each["tokens"] for each in found] == [["Hé"], [" you"]]
    assert [each["text_offset"] for each in found] == [[0], [2]]
    assert done == b"data: [DONE]"
    chat = an_order(body=b'{"messages":[],"logprobs":true,"top_logprobs":2}')
    assert await engine.answer(session, chat) == _text_answer(_token("Hé", "x"), _token(" you"))


async def test_llama_cpp_counts_its_templates_own_words(
    served: Served, session: EngineSession
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/props":
            return web.json_response({**PROPS, "chat_template_caps": {"supports_tools": True}})
        asked = orjson.loads(await request.read())
        if request.path == "/apply-template":
            if asked["messages"][0]["role"] == "system":
                return web.json_response({"error": {"message": "no system role"}}, status=500)
            words = ["begin"] + ["m"] * 50 * len(asked["messages"]) + ["t"] * 7 * ("tools" in asked)
            return web.json_response({"prompt": " ".join(words)})
        return web.json_response({"tokens": asked["content"].split()})

    served.handler = handler
    engine = an_engine(served.url, LlamaCppEngine)
    assert await engine.probe(session)
    assert engine.template == Template(base=51, per_message=100, tools=7)
    declared = an_engine(served.url, LlamaCppEngine, template_tokens=400)
    assert await declared.probe(session)
    assert declared.template.base == 400


async def test_what_is_declared_weighs_more(served: Served, session: EngineSession) -> None:
    served.says(orjson.dumps(PROPS))
    engine = an_engine(served.url, LlamaCppEngine, capabilities={"tools": True, "images": False})
    assert await engine.probe(session)
    assert (engine.capabilities.tools, engine.capabilities.images) == (True, False)
    assert (engine.known["tools"], engine.known["images"]) == (True, False)


def test_what_nobody_has_said_is_not_known() -> None:
    plain = an_engine("http://x")
    assert plain.known == {}
    assert plain.capabilities.logprobs
    assert an_engine("http://x", capabilities={"logprobs": False}).known == {"logprobs": False}


async def test_an_engine_that_is_away_is_asked_again(served: Served) -> None:
    away, plain = an_engine("http://127.0.0.1:1", LlamaCppEngine), an_engine("http://127.0.0.1:1")
    assert await probe([away, plain]) == [away]


async def _first(served: Served, session: EngineSession) -> None:
    await heard(an_engine(served.url), session, an_order())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'{"error":5}', b'{"detail":5}'])
def test_an_error_that_is_none_says_nothing(body: bytes) -> None:
    assert error_in(body) == {}
    assert an_engine("http://x").refusal(400, body).status == 400


def test_an_error_may_be_a_bare_text() -> None:
    assert error_in(b'{"error":"no"}') == {"message": "no"}
    assert error_in(b'{"detail":"no"}') == {"message": "no"}


def test_the_body_for_the_engine() -> None:
    engine = an_engine("http://x")
    body = engine.prepare({"model": "smol", "max_completion_tokens": 5, "n": 1}, chat=True)
    assert body == {"model": "theirs", "max_tokens": 5, "n": 1}
    streamed = engine.prepare({"model": "smol", "stream": True, "stream_options": {}}, chat=True)
    assert streamed["stream_options"] == {"include_usage": True}
    assert "stream_options" not in engine.prepare({"model": "smol", "stream": False}, chat=True)


def test_a_null_does_not_lift_the_other_limit() -> None:
    body = {"model": "smol", "max_tokens": 5, "max_completion_tokens": None}
    assert an_engine("http://x").prepare(body, chat=True)["max_tokens"] == 5


async def test_llama_cpp_counts_with_its_own_tokenizer(
    served: Served, session: EngineSession
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        if request.path == "/apply-template":
            return web.json_response({"prompt": "<user>" + asked["messages"][0]["content"]})
        return web.json_response({"tokens": list(range(len(asked["content"])))})

    served.handler = handler
    engine = an_engine(served.url, LlamaCppEngine)
    chat = an_order(body=b'{"messages":[{"role":"user","content":"abc"}]}')
    assert await engine.count_prompt(session, chat) == len("<user>abc")
    plain = an_order(body=b'{"prompt":"hello"}', chat=False)
    assert await engine.count_prompt(session, plain) == 5
    tokens = an_order(body=b'{"prompt":[11,12,13]}', chat=False)
    assert await engine.count_prompt(session, tokens) == 3
    served.says(b"no", 500)
    assert await engine.count_prompt(session, plain) >= 1


async def test_llama_cpp_counts_the_tools_of_an_answer_that_was_cut_off(
    served: Served, session: EngineSession
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        question = orjson.loads(await request.read())
        if request.path == "/apply-template":
            return web.json_response({"prompt": "x" * len(orjson.dumps(question.get("tools")))})
        return web.json_response({"tokens": list(range(len(question["content"])))})

    served.handler = handler
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": tools}
    order = an_order(body=orjson.dumps(body))
    counted = await an_engine(served.url, LlamaCppEngine).count_prompt(session, order)
    assert counted == len(orjson.dumps(tools))


async def test_llama_cpp_counts_a_chat_with_its_tools_by_its_template(
    served: Served, session: EngineSession
) -> None:
    templated, tokenized = list[Any](), list[Any]()

    async def handler(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        (templated if request.path == "/apply-template" else tokenized).append(body)
        return web.json_response({"prompt": "<s>hi"} | {"tokens": [1, 2, 3]})

    served.handler = handler
    prompt = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function"}]}
    body = {**prompt, "model": "theirs", "temperature": 0}
    assert await an_engine(served.url, LlamaCppEngine).count_chat(session, body) == 3
    assert templated == [prompt]
    assert tokenized == [{"content": "<s>hi", "parse_special": True, "add_special": True}]
    served.says(b"no", 500)
    with pytest.raises(aiohttp.ClientError):
        await an_engine(served.url, LlamaCppEngine).count_chat(session, body)
    assert await an_engine(served.url, OpenAIEngine).count_chat(session, body) is None


def test_llama_cpp_goes_on_from_a_text_when_it_can() -> None:
    engine = an_engine("http://x", LlamaCppEngine)

    def continued(**body: Any) -> Any:
        asked = {"messages": [{"role": "user", "content": "Hi"}], **body}
        found = engine.continued(an_order(body=orjson.dumps(asked)), "Hel", 1)
        return found and orjson.loads(found)

    assert continued()["messages"][-1] == {"role": "assistant", "content": "Hel"}
    assert continued(max_tokens=10)["max_tokens"] == 9
    assert continued(max_tokens=1)["max_tokens"] == 1
    assert continued(tools=[{}]) is None
    assert continued(response_format={"type": "json_object"}) is None
    assert continued(messages=[{"role": "assistant", "content": "x"}]) is None
    text = an_order(chat=False, body=b'{"prompt":"Say:","max_tokens":9}')
    gone_on = {"prompt": "Say: Hel", "max_tokens": 8}
    assert orjson.loads(engine.continued(text, " Hel", 1) or b"") == gone_on
    tokens = an_order(chat=False, body=b'{"prompt":[1,2]}')
    assert engine.continued(tokens, " Hel", 1) is None
    assert an_engine("http://x").continued(an_order(), "Hel", 1) is None


# What this installation serves ------------------------------------------------------------------
@pytest.fixture
def entries(settings: Settings) -> Any:
    engines.forget()

    def configure(**found: dict[str, Any]) -> dict[str, Engine]:
        settings.ENGINES = found
        return engines.served()

    yield configure
    engines.forget()


def test_each_model_has_its_engine(entries: Any) -> None:
    found = entries(
        smol={"kind": "llama_cpp", "url": "http://a", "slots": 4},
        deep={"kind": "openai", "url": "http://b/v1", "model": "deepseek-chat", "api_key": "x"},
    )
    assert type(found["smol"]) is KINDS["llama_cpp"]
    assert found["smol"].config.model == "smol"
    assert (found["deep"].config.name, found["deep"].config.model) == ("deep", "deepseek-chat")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"kind": "magic", "url": "http://a"},
            "unknown kind 'magic'; known are deepseek, llama_cpp, openai, sglang",
        ),
        ({"kind": "openai", "url": "http://a", "slot": 4}, "slot"),
        (
            {"kind": "openai", "url": "http://a", "capabilities": {"smell": True}},
            "known are text",
        ),
        ({"kind": "openai", "url": "http://a", "capabilities": {"tools": "no"}}, "must be an obj"),
        ({"kind": "openai", "url": "http://a", "capabilities": ["tools"]}, "must be an object"),
    ],
)
def test_a_wrong_entry_is_told_so(entries: Any, entry: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        entries(smol=entry)


@pytest.mark.parametrize(
    ("status", "said", "after"),
    [
        (429, "7", 7),
        (503, "30", 30),
        (429, "0", 1),
        (429, "999999999999", 3600),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        (429, "Sat, 01 Jan 2000 00:00:00 GMT", 1),
        (429, "soon", 1),  # what we say ourselves
        (503, "", 2),
        (500, "7", 0),
    ],
)
async def test_the_engine_says_when_to_come_back(
    served: Served, session: EngineSession, status: int, said: str, after: int
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Retry-After": said} if said else {}
        return web.json_response({"error": {"message": "no"}}, status=status, headers=headers)

    served.handler = handler
    with pytest.raises(EngineFailed) as failed:
        await an_engine(served.url).answer(session, an_order())
    assert failed.value.retry_after == after
