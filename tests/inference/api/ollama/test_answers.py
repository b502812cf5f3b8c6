"""Chats and prompts over HTTP, with a runner and an engine behind them."""

import asyncio
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.intake.context import Context
from inference.models import Completion, Usage
from tenants.models import Tenant
from tests.inference.api.conftest import client_of
from tests.inference.api.ollama.asking import ASK, HI, PROMPT, WEATHER, call, lines, text_of
from tests.inference.engine_server import EngineServer

in_database = database_sync_to_async
CHAT, GENERATE = "/api/chat", "/api/generate"
DURATIONS = ("load_duration", "prompt_eval_duration", "eval_duration")


async def chat(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(CHAT, json={**ASK, **fields})


async def generate(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(GENERATE, json={**PROMPT, **fields})


def check_figures(last: dict[str, Any], *, whole: bool = False) -> None:
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert (last["prompt_eval_count"], last["eval_count"]) == (7, 3)
    spent = [last[name] for name in DURATIONS if name in last]
    assert len(spent) == (2 if whole else 3)
    assert 0 < min(spent) <= sum(spent) == last["total_duration"] < 60 * 10**9


async def test_a_chat_is_streamed_unless_told_otherwise(client: httpx.AsyncClient) -> None:
    answer = await chat(client)
    *parts, last = lines(answer)
    assert "".join(part["message"]["content"] for part in parts) == "One two three"
    assert {part["done"] for part in parts} == {False}
    assert {part["message"]["role"] for part in (*parts, last)} == {"assistant"}
    assert (last["model"], last["message"]["content"]) == ("small", "")
    check_figures(last)
    request_id = answer.headers["x-request-id"]
    usage = await in_database(Usage.objects.get)(completion_id=request_id)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)
    assert (await in_database(Completion.objects.get)(pk=request_id)).route == CHAT


async def test_a_chat_in_one_piece(client: httpx.AsyncClient) -> None:
    answer = await chat(client, stream=False)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["message"] == {"role": "assistant", "content": "One two three"}
    check_figures(body, whole=True)


async def test_what_the_engine_gets(client: httpx.AsyncClient, engine: EngineServer) -> None:
    options = {"num_predict": 64, "temperature": 0.5, "top_k": 20, "stop": ["END"], "seed": 7}
    options |= {"num_ctx": 4096, "num_gpu": 1}
    await chat(client, options=options, keep_alive="5m", format="json", stream=False)
    (sent,) = engine.asked
    assert sent == {
        "model": sent["model"],
        "messages": HI,
        "max_tokens": 64,
        "temperature": 0.5,
        "top_k": 20,
        "stop": ["END"],
        "seed": 7,
        "response_format": {"type": "json_object"},
    }


async def test_a_prompt_is_a_message(client: httpx.AsyncClient, engine: EngineServer) -> None:
    *parts, last = lines(await generate(client, system="Be brief."))
    assert "".join(part["response"] for part in parts) == "One two three"
    assert last["response"] == ""
    check_figures(last)
    assert engine.asked[0]["messages"] == [{"role": "system", "content": "Be brief."}, *HI]
    whole = (await generate(client, stream=False)).json()
    assert whole["response"] == "One two three"
    check_figures(whole, whole=True)


async def test_a_raw_prompt_has_no_template(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    answer = await generate(client, raw=True, suffix="end", options={"num_predict": 5})
    assert "".join(line["response"] for line in lines(answer)) == "One two three"
    (sent,) = engine.asked
    assert (sent["prompt"], sent["suffix"], sent["max_tokens"]) == ("Say hi.", "end", 5)
    assert "messages" not in sent
    await generate(client, raw=True)
    assert engine.asked[1]["max_tokens"] == 100_000 - len("Say hi.")


async def test_calls_are_objects_and_come_before_the_end(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    function = {"name": "get_weather", "arguments": '{"city": '}
    engine.deltas = [
        {"reasoning_content": "Hm."},
        {"tool_calls": [{"index": 0, "id": "call_x", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
    ]
    engine.finish_reason = "tool_calls"
    history = [*HI, {"role": "assistant", "content": "", "tool_calls": [call(city="Rome")]}]
    history.append({"role": "tool", "content": "22", "tool_name": "get_weather"})
    answer = await chat(client, tools=[WEATHER], messages=history)
    *_, calls, last = lines(answer)
    written = {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}
    assert calls["message"]["tool_calls"] == [{"id": "call_x", "function": written}]
    assert (calls["done"], last["done"], last["done_reason"]) == (False, True, "stop")
    thoughts = [line["message"].get("thinking", "") for line in lines(answer)]
    assert "".join(thoughts) == "Hm."
    sent = engine.asked[0]
    assert sent["tools"] == [WEATHER]
    assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"]
    call_ = {"id": "call_x", "function": {**function, "arguments": '{"city": "Paris"}'}}
    engine.message = {"content": None, "tool_calls": [call_], "reasoning_content": "Hm."}
    for think, shown in ((None, "Hm."), (False, None)):
        whole = (await chat(client, tools=[WEATHER], stream=False, think=think)).json()
        assert whole["message"]["tool_calls"] == calls["message"]["tool_calls"]
        assert whole["message"].get("thinking") == shown


@pytest.mark.parametrize(
    ("keep_alive", "reason"), [(None, "load"), ("5m", "load"), (0, "unload"), ("0s", "unload")]
)
async def test_without_a_prompt_nothing_is_asked(
    client: httpx.AsyncClient, engine: EngineServer, keep_alive: Any, reason: str
) -> None:
    for answer in (
        await chat(client, messages=[], keep_alive=keep_alive),
        await generate(client, prompt="", keep_alive=keep_alive),
    ):
        body = answer.json()
        assert (body["done"], body["done_reason"]) == (True, reason)
    assert not engine.asked
    assert (await chat(client, model="none", messages=[])).status_code == 404


async def test_latest_may_stand_behind_a_name(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    answer = await chat(client, model="small:latest", stream=False)
    assert answer.json()["model"] == "small:latest"
    assert (await chat(client, model="small:7b")).status_code == 404
    assert len(engine.asked) == 1


# Errors -------------------------------------------------------------------------------------------
async def test_errors_in_ollamas_shape(client: httpx.AsyncClient, engine: EngineServer) -> None:
    missing = await chat(client, model="none")
    assert missing.status_code == 404
    assert missing.json() == {
        "error": "model 'none' not found: GET /api/tags lists those that there are",
        "code": "model_not_found",
        "param": "model",
    }
    for fields, param in (
        ({"options": {"num_predict": 0}}, "options.num_predict"),
        ({"options": {"warmth": 1}}, "options.warmth"),
        ({"surprise": 1}, "surprise"),
        ({"think": "hard"}, "think"),
        ({"format": {"description": "x" * 70_000}}, "format"),
        ({"messages": [{**HI[0], "images": ["aGk="]}]}, "messages[0].images"),
    ):
        refused = await chat(client, **fields)
        assert (refused.status_code, refused.json()["param"]) == (400, param), refused.text
        assert param in refused.json()["error"]
    for content in (b"", b"{", b"[]"):
        assert (await client.post(CHAT, content=content)).json()["code"] == "invalid_json"
    assert (await client.get(CHAT)).status_code == 405
    nothing = await client.get("/ollama/api/nothing")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    assert not engine.asked
    engine.status = 500
    for stream in (True, False):
        broken = await chat(client, stream=stream)
        assert (broken.status_code, broken.json()["code"]) == (502, "engine_failed")


async def test_an_answer_that_breaks_ends_with_an_error(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.breaks_off = True
    *_, last = lines(await chat(client))
    assert (last["code"], "done" in last) == ("engine_failed", False)
    assert last["error"]
    whole = await chat(client, stream=False)
    assert (whole.status_code, whole.json()["code"]) == (502, "engine_failed")


async def test_without_a_key_nothing_is_answered(context: Context, acme: Tenant) -> None:
    async with await client_of(acme) as client:
        del client.headers["authorization"]
        for method, path in (
            ("GET", "/api/version"),
            ("GET", "/api/tags"),
            ("POST", "/api/show"),
            ("POST", CHAT),
            ("POST", "/ollama/api/generate"),
            ("POST", "/api/pull"),
        ):
            refused = await client.request(method, path, json=ASK)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")


async def test_limits(context: Context, acme: Tenant) -> None:
    limits = {"requests_per_minute": 2, "burst": 2}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    async with await client_of(acme) as client:
        await chat(client)
        await chat(client, messages=[])  # a request, too
        refused = await chat(client)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["refusal_id"] == refused.headers["x-refusal-id"]


# Streams ------------------------------------------------------------------------------------------
async def test_a_stream_is_read_again(
    client: httpx.AsyncClient, acme: Tenant, globex: Tenant
) -> None:
    for ask in (chat, generate):
        answer = await ask(client)
        live = lines(answer)
        path = f"/api/streams/{answer.headers['x-request-id']}"
        again = lines(await client.get(path))
        assert "".join(map(text_of, again)) == "".join(map(text_of, live)) == "One two three"
        assert [set(line) & {"message", "response"} for line in (live[0], again[0])] == [
            {"message" if ask is chat else "response"}
        ] * 2
        assert again[-1]["eval_count"] == 3
        assert "eval_duration" not in again[-1]
        last = {"last-event-id": str(live[-2]["event"])}
        (rest,) = lines(await client.get(path, headers=last))
        assert rest["done"]
    async with await client_of(globex) as stranger:
        hidden = await stranger.get(path)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
    assert (await client.get(path, headers={"last-event-id": "x"})).status_code == 400


async def test_a_silent_engine_is_bridged_by_lines_without_text(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.api.http import streaming
    from inference.intake import answer_stream

    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.1)
    monkeypatch.setattr(streaming, "FIRST_WRITE_S", 0.0)
    monkeypatch.setattr(streaming, "SILENCE_S", 0.0)
    engine.goes_on.clear()
    asking = asyncio.create_task(chat(client))
    while not engine.asked:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    engine.goes_on.set()
    first, *rest = lines(await asking)
    assert (first["message"], first["done"]) == ({"role": "assistant", "content": ""}, False)
    assert "".join(line["message"]["content"] for line in rest) == "One two three"


async def test_an_idempotency_key_works_here_too(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    headers = {"idempotency-key": "once"}
    first = await client.post(CHAT, json=ASK, headers=headers)
    again = await client.post(CHAT, json=ASK, headers=headers)
    assert again.headers["x-forebay-replayed"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert "".join(map(text_of, lines(again))) == "One two three"
    other = await client.post(CHAT, json={**ASK, "stream": False}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(engine.asked) == 1


async def test_an_answer_is_kept_for_the_next(
    client: httpx.AsyncClient, engine: EngineServer, numbered: None
) -> None:
    headers = {"x-forebay-cache": "use"}
    body = {**ASK, "options": {"temperature": 0, "seed": 5}}
    first = await client.post(CHAT, json=body, headers=headers)
    whole = await client.post(CHAT, json={**body, "stream": False}, headers=headers)
    again = await client.post(CHAT, json=body, headers=headers)
    assert [answer.headers["x-forebay-cache"] for answer in (first, whole, again)] == [
        "miss",
        "hit",
        "hit",
    ]
    texts = ["".join(map(text_of, lines(answer))) for answer in (first, again)]
    assert [*texts, text_of(whole.json())] == ["One two three #1"] * 3
