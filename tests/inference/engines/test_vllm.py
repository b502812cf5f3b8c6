"""The kind `vllm`: what is added to a body, how an answer is taken up, what vLLM says of itself."""

import logging
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from inference.engines.base import Engine
from inference.engines.choices import questions, several_of
from inference.engines.health.reachability import probe
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.sglang import SglangEngine
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.load import Load
from inference.engines.prompt_bound import Template
from inference.engines.transport.session import EngineSession
from inference.errors import BadRequest
from inference.order import Order
from inference.templating.control_tokens import TAGS
from inference.validation import requests
from tests.inference.engines.served import Served, an_engine
from tests.inference.orders import an_order
from tests.inference.scripted import Traces, generation

pytestmark = pytest.mark.unit
FILE = {"type": "file", "file": {"file_data": "AAAA"}}
QUESTION = {"role": "user", "content": "Hi"}
METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="smol"} 3.0
vllm:num_requests_running{engine="1",model_name="smol"} 2.0
vllm:num_requests_waiting{engine="0",model_name="smol"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="smol",reason="capacity"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="smol"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="smol"} 0.5
python_info{version="3.11"} 1.0
"""


def an_vllm(url: str = "http://x/v1", **config: Any) -> VllmEngine:
    engine = an_engine(url, VllmEngine, **config)
    assert isinstance(engine, VllmEngine)
    return engine


def sent(engine: VllmEngine, order: Order) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(engine.outgoing(order))
    return found


# What is added ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("klass", "priority"), [("realtime", None), ("batch", 10), ("preprocess", 30), ("gone", 50)]
)
def test_the_lower_the_class_the_later_vllm_serves_it(klass: str, priority: int | None) -> None:
    engine = an_vllm(priority_scheduling=True)
    assert sent(engine, an_order(klass=klass)).get("priority") == priority


def test_without_priority_scheduling_vllm_would_refuse_a_priority() -> None:
    tenant = uuid4()
    body = sent(an_vllm(), an_order(klass="preprocess", tenant_id=tenant))
    assert "priority" not in body
    assert body["cache_salt"] == salt(tenant)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"priority": -5}, "`priority` is not supported"),
        ({"cache_salt": "guess"}, "`cache_salt` is not supported"),
        ({"stream_interval": 100}, "`stream_interval` is not supported"),
        ({"chat_template": "{{ x }}"}, "`chat_template` is not supported"),
        ({"bad_words": [""]}, "`bad_words` must be a list of at most 64 words"),
        ({"allowed_token_ids": [-1]}, "`allowed_token_ids` must be a list of"),
        ({"thinking_token_budget": -2}, "`thinking_token_budget` must be a whole number from -1"),
        ({"tools": [{"type": "web_search"}]}, r"`tools\[0\].type` must be function"),
        ({"messages": [{"role": "user", "content": [FILE]}]}, "does not take files"),
        ({"min_tokens": 20, "max_tokens": 10}, "`min_tokens` must be at most 10"),
        ({"min_tokens": 9000}, "`min_tokens` must be at most 8192"),
    ],
)
def test_what_a_client_may_not_say(body: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        requests.check_chat({"messages": [QUESTION], **body}, an_vllm())


@pytest.mark.parametrize(("temperature", "together"), [(0, False), (0.0, False), (0.1, True)])
def test_vllm_makes_several_answers_at_once_unless_all_are_the_same(
    temperature: float, together: bool
) -> None:
    """It refuses `n` at temperature 0: each is asked for apart then, as from llama.cpp."""
    engine, body = an_vllm(), {"messages": [], "n": 2, "temperature": temperature}
    assert engine.makes_together(body) is together
    assert several_of(body, read_once=engine.makes_together(body)).reads == (1 if together else 2)
    order = an_order(body=orjson.dumps(body), choices=2)
    assert len(list(questions(order, engine.makes_together))) == (1 if together else 2)


def test_vllms_own_fields_reach_it() -> None:
    own = {
        "bad_words": ["no"],
        "min_tokens": 5,
        "max_tokens": 5,
        "add_special_tokens": False,
        "return_token_ids": True,
        "stop_token_ids": [2],
    }
    body = {"model": "smol", "messages": [QUESTION], **own}
    requests.check_chat(body, an_vllm())
    assert own.items() <= an_vllm().prepare(body, chat=True).items()
    text = {"model": "smol", "prompt": "x", "response_format": {"type": "json_object"}}
    requests.check_text(text, an_vllm())
    assert "response_format" in an_vllm().prepare(text, chat=False)


def test_deepseeks_prefix_is_an_open_ended_message() -> None:
    begun = {"role": "assistant", "content": "Hel", "prefix": True}
    body = an_vllm().prepare({"model": "smol", "messages": [QUESTION, begun]}, chat=True)
    assert body["messages"] == [QUESTION, {"role": "assistant", "content": "Hel"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_an_open_ended_message_may_come_from_sglang() -> None:
    """vLLM refuses it with a new answer's beginning behind it, which is its default."""
    begun = {"role": "assistant", "content": "Hel", "prefix": True}
    theirs = an_engine("http://x/v1", SglangEngine)
    body = theirs.prepare({"model": "smol", "messages": [QUESTION, begun]}, chat=True)
    adopted = orjson.loads(an_vllm().adopted(an_order(body=orjson.dumps(body))).body)
    assert adopted["messages"][-1] == {"role": "assistant", "content": "Hel"}
    assert (adopted["continue_final_message"], adopted["add_generation_prompt"]) == (True, False)


# Taking up --------------------------------------------------------------------------------------
def continued(text: str = "Hel", *, chat: bool = True, **body: Any) -> Any:
    asked = {"messages": [QUESTION], **body} if chat else {"prompt": "Say: ", **body}
    found = an_vllm().continued(an_order(chat=chat, body=orjson.dumps(asked)), text, 3)
    return found and orjson.loads(found)


def test_a_chat_goes_on_in_its_last_message() -> None:
    body = continued(max_tokens=10, min_tokens=5)
    assert body["messages"] == [QUESTION, {"role": "assistant", "content": "Hel"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert (body["max_tokens"], body["min_tokens"]) == (7, 2)


def test_an_answer_that_began_with_the_clients_own_words_goes_on_after_both() -> None:
    begun = {"role": "assistant", "content": "Well, "}
    body = continued(messages=[QUESTION, begun], continue_final_message=True)
    assert body["messages"] == [QUESTION, {"role": "assistant", "content": "Well, Hel"}]
    new = continued(messages=[QUESTION, begun])
    assert new["messages"][1:] == [begun, {"role": "assistant", "content": "Hel"}]


def test_a_text_goes_on_after_its_prompt() -> None:
    assert continued(chat=False)["prompt"] == "Say: Hel"
    assert continued(chat=False, prompt=[1, 2]) is None


def test_before_the_first_word_all_begins_anew() -> None:
    assert continued("") == {"messages": [QUESTION]}


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{}]},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"structured_outputs": {"choice": ["a"]}},
        {"guided_choice": ["a"]},
    ],
)
def test_what_text_alone_does_not_bring_back_is_not_taken_up(body: dict[str, Any]) -> None:
    assert continued(**body) is None
    assert continued(chat=False, logprobs=0) is None
    assert continued(chat=False, echo=True) is None


# What it says of itself -------------------------------------------------------------------------
class Vllm:
    """Its endpoints beside OpenAI's."""

    def __init__(self, *models: dict[str, Any]) -> None:
        self.models, self.tokenized = models, list[dict[str, Any]]()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/v1/models":
                return web.json_response({"object": "list", "data": self.models})
            case "/tokenize":
                asked = orjson.loads(await request.read())
                self.tokenized.append(asked)
                if asked.get("prompt") in ("</s>", "<think>"):
                    return web.json_response({"count": 1})
                texts = len(asked.get("messages", ()))
                return web.json_response({"count": 3 + 4 * texts + 9 * ("tools" in asked)})
            case "/metrics":
                return web.Response(text=METRICS)
            case _:
                return web.Response(status=503 if request.path == "/health" else 404)


async def test_vllm_counts_its_templates_own_words(served: Served, session: EngineSession) -> None:
    served.handler = Vllm()
    engine = an_vllm(served.url + "/v1")
    assert await engine.probe(session)
    assert engine.template == Template(base=11, per_message=8, tools=9)
    for body, status in ((b"no", 404), (b"[]", 200), (b"{}", 200)):
        served.says(body, status)
        guessing = an_vllm(served.url + "/v1")
        assert await guessing.probe(session)
        assert guessing.template == Template()
    assert await probe([an_vllm("http://127.0.0.1:1")])


async def test_the_shorter_context_holds(served: Served, session: EngineSession) -> None:
    served.handler = Vllm({"id": "theirs", "max_model_len": 1024})
    for declared, holds in ((8192, 1024), (512, 512)):
        engine = an_vllm(served.url + "/v1", context_length=declared)
        await engine.probe(session)
        assert engine.context_length == holds
    served.handler = Vllm({"id": "theirs", "max_model_len": -1})
    await engine.probe(session)
    assert engine.context_length == 512, "what is no length changes nothing"
    with pytest.raises(BadRequest, match="from 1 to 512"):
        requests.check_chat({"messages": [QUESTION], "max_tokens": 513}, engine)


async def test_an_adapter_is_a_model_of_its_own(
    served: Served, session: EngineSession, caplog: pytest.LogCaptureFixture
) -> None:
    base = {"id": "base", "max_model_len": 512, "parent": None}
    adapter = {"id": "theirs", "max_model_len": None, "parent": "base"}
    served.handler = Vllm(base, adapter)
    engine = an_vllm(served.url + "/v1")
    await engine.probe(session)
    assert "has no model" not in caplog.text
    assert engine.context_length == 512
    assert engine.prepare({"model": "smol", "messages": []}, chat=True)["model"] == "theirs"
    served.handler = Vllm(base)
    with caplog.at_level(logging.WARNING):
        await engine.probe(session)
    assert "vLLM has no model theirs, but base" in caplog.text


async def test_in_development_mode_it_says_how_many_slots_it_has(
    served: Served, session: EngineSession
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path_qs == "/server_info?config_format=json":
            told = {"vllm_config": {"scheduler_config": {"max_num_seqs": 48}}}
            return web.json_response(told)
        return web.Response(status=404)

    served.handler = handler
    engine = an_vllm(served.url + "/v1", auto_slots=True)
    assert await engine.probe(session)
    assert engine.reported_slots == 48
    others = an_vllm(served.url + "/v1")
    assert await others.probe(session)
    assert others.reported_slots == 0
    served.says(b"", 404)
    assert await (silent := an_vllm(served.url + "/v1", auto_slots=True)).probe(session)
    assert silent.reported_slots == 0


async def test_how_busy_it_is(served: Served, session: EngineSession) -> None:
    served.handler = Vllm()
    assert await an_vllm(served.url + "/v1").load(session) == Load(5, 4, 0.5)
    served.says(b"python_info 1.0")
    assert await an_vllm(served.url + "/v1").load(session) is None
    served.says(METRICS.encode(), 500)
    assert await an_vllm(served.url + "/v1").load(session) is None
    assert await an_engine(served.url).load(session) is None


SGLANG_METRICS = b"""sglang:num_running_reqs{dp_rank="0",priority="",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="0",priority="1",tp_rank="0"} 2.0
sglang:num_running_reqs{dp_rank="0",priority="",tp_rank="1"} 3.0
sglang:num_running_reqs{dp_rank="1",priority="",tp_rank="0"} 2.0
sglang:num_queue_reqs{dp_rank="0",priority="",tp_rank="0"} 4.0
sglang:token_usage{dp_rank="0",tp_rank="0"} 0.25
sglang:token_usage{dp_rank="1",tp_rank="0"} 0.5
"""
LLAMA_CPP_METRICS = b"llamacpp:requests_processing 5\nllamacpp:requests_deferred 4\n"


@pytest.mark.parametrize(
    ("kind", "metrics", "load"),
    [
        (SglangEngine, SGLANG_METRICS, Load(5, 4, 0.5)),
        (LlamaCppEngine, LLAMA_CPP_METRICS, Load(5, 4)),
    ],
)
async def test_how_busy_other_kinds_are(
    served: Served, session: EngineSession, kind: type[Engine], metrics: bytes, load: Load
) -> None:
    served.says(metrics)
    assert await an_engine(served.url, kind).load(session) == load
    assert served.asked[-1][0] == "/metrics"
    served.says(METRICS.encode())
    assert await an_engine(served.url, kind).load(session) is None
    served.says(metrics, 501)
    assert await an_engine(served.url, kind).load(session) is None


async def test_vllm_tells_which_tags_are_its_models_control_tokens(
    served: Served, session: EngineSession
) -> None:
    served.handler = vllm = Vllm()
    engine = an_vllm(served.url + "/v1")
    assert await engine.probe(session)
    assert engine.control_tokens == {"</s>", "<think>"}
    before = len(vllm.tokenized)
    assert await engine.probe(session)
    assert len(vllm.tokenized) - before < len(TAGS), "asked once"


async def test_its_health_is_beside_its_api(served: Served, session: EngineSession) -> None:
    served.handler = Vllm()
    assert not await an_vllm(served.url + "/v1").answers(session)
    assert served.asked[-1][0] == "/health"
    served.says(b"")
    assert await an_vllm(served.url + "/v1").answers(session)


async def test_vllm_counts_a_prompt_with_its_own_tokenizer(
    served: Served, session: EngineSession
) -> None:
    served.handler = vllm = Vllm()
    engine = an_vllm(served.url + "/v1")
    chat = {"messages": [QUESTION], "temperature": 0, "continue_final_message": True}
    assert await engine.count_prompt(session, an_order(body=orjson.dumps(chat))) == 7
    asked = {"model": "theirs", "messages": [QUESTION], "continue_final_message": True}
    assert vllm.tokenized == [asked]
    assert await engine.count_chat(session, chat) == 7
    assert vllm.tokenized == [asked, asked]
    text = an_order(body=b'{"prompt":"hello"}', chat=False)
    assert await engine.count_prompt(session, text) == 3
    tokens = an_order(body=b'{"prompt":[11,12,13]}', chat=False)
    assert await engine.count_prompt(session, tokens) == 3
    served.says(b"no", 500)
    assert await engine.count_prompt(session, text) == len(text.body) // 4
    for impossible in (b"-5", b"2147483647", b"1e300"):
        served.says(b'{"count":%b,"max_model_len":4096}' % impossible)
        assert await engine.count_prompt(session, text) == len(text.body) // 4


@pytest.mark.parametrize(("stop", "keeps"), [(None, True), ("#", True), (["#", "END"], False)])
def test_under_a_longer_stop_string_it_does_not_keep_its_course(stop: Any, keeps: bool) -> None:
    """It shows the text up to some characters before its end, which may be inside of a token."""
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "stop": stop})
    assert an_vllm().resumes_unchanged(an_order(body=body)) is keeps


def shaped(schema: dict[str, Any], *, stream: bool = False) -> Order:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = {"model": "m", "messages": [QUESTION], "response_format": form}
    return an_order(body=orjson.dumps(body), stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("schema", "status"),
    [
        ({"pattern": "^[a-z]{1,129}$"}, 400),
        ({"properties": {"a": {"patternProperties": {"^(ab){500}$": {}}}}}, 400),
        ({"anyOf": [{}, {"pattern": "a{200,}"}]}, 400),
        ({"pattern": "^[a-z]{1,128}$"}, 502),
        ({"properties": {"pattern": {"maxLength": 129}}}, 502),
    ],
)
async def test_what_vllms_grammar_cannot_count_is_the_clients_mistake(
    served: Served, session: EngineSession, schema: dict[str, Any], status: int, stream: bool
) -> None:
    """A mistake neither counts for the breaker nor goes to another engine."""
    error = orjson.dumps({"error": {"message": "Internal server error", "code": 500}})
    if stream:
        served.streams(b"data: " + error + b"\n\n")
    else:
        served.says(error, 500)
    traces = Traces()
    run = generation(an_vllm(served.url + "/v1"), shaped(schema, stream=stream))
    await run.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
    assert traces.last.status == status
    assert run.failure
    assert run.failure.counts is (status == 502)
    assert ("counts above 128" in traces.error["message"]) is (status == 400)
