"""The Responses API over HTTP, with a runner and an engine behind it."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.db import database_sync_to_async

from inference.api.responses.compaction import PROMPT
from inference.engines import aliases
from inference.engines.aliases import AliasInForce
from inference.engines.kinds.openai import OpenAIEngine
from inference.intake.context import Context
from inference.models import Completion, Usage
from tenants.models import Tenant
from tests.inference.api.conftest import client_of
from tests.inference.api.responses.asking import ASK, HI, WEATHER, read, text_item
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

in_database = database_sync_to_async
PATH = "/v1/responses"


async def ask(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post(PATH, json={**ASK, **more})


async def test_a_response_and_its_record(client: httpx.AsyncClient, engine: EngineServer) -> None:
    answer = await ask(client, instructions="Be brief.", max_output_tokens=64, store=False)
    response, request_id = answer.json(), answer.headers["x-request-id"]
    ids = UUID(request_id).hex
    text = {"type": "output_text", "text": "One two three", "annotations": [], "logprobs": []}
    assert response["output"] == [
        {
            "id": f"msg_{ids}0000",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
    ]
    assert (response["id"], response["object"]) == (f"resp_{ids}", "response")
    assert (response["status"], response["error"]) == ("completed", None)
    assert (response["model"], response["store"]) == ("small", False)
    assert response["usage"]["total_tokens"] == 10
    (sent,) = engine.asked
    assert sent == {
        "model": sent["model"],
        "messages": [{"role": "system", "content": "Be brief."}, HI],
        "max_tokens": 64,
    }
    usage = await in_database(Usage.objects.get)(completion_id=request_id)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)
    assert (await in_database(Completion.objects.get)(pk=request_id)).route == PATH


async def test_the_model_of_a_response_is_what_answered_not_its_alias(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    aliases.put_in_force([AliasInForce(acme.pk, "gpt-5", "small", 1)])
    try:
        created = (await ask(client, model="gpt-5")).json()
        again = (await client.get(f"{PATH}/{created['id']}")).json()
    finally:
        aliases.put_in_force([])
    assert (created["model"], again["model"]) == ("small", "small")


async def test_a_streamed_response(client: httpx.AsyncClient) -> None:
    answer = await ask(client, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event for _, event in read(answer.content)]
    assert answer.text.endswith("data: [DONE]\n\n")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert deltas == ["One", " two", " three"]
    final = events[-1]["response"]
    assert (final["status"], final["usage"]["output_tokens"]) == ("completed", 3)
    assert final["output"][0]["content"][0]["text"] == "One two three"


async def test_a_call_and_its_result(client: httpx.AsyncClient, engine: EngineServer) -> None:
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    engine.message = {"content": None, "tool_calls": [{"id": "call_1", "function": function}]}
    engine.finish_reason = "tool_calls"
    question = [text_item("user", "The weather?")]
    first = (await ask(client, input=question, tools=[WEATHER], store=False)).json()
    (item,) = first["output"]
    assert (item["type"], item["call_id"], item["status"]) == (
        "function_call",
        "call_1",
        "completed",
    )
    engine.message, engine.finish_reason = {}, "stop"
    output = {"type": "function_call_output", "call_id": "call_1", "output": "22"}
    again = await ask(client, input=[*question, item, output], tools=[WEATHER], store=False)
    assert again.json()["output"][0]["content"][0]["text"] == "One two three"
    assert [m["role"] for m in engine.asked[-1]["messages"]] == ["user", "assistant", "tool"]


async def test_errors_in_openais_shape(client: httpx.AsyncClient, engine: EngineServer) -> None:
    for more, status, code, param in (
        ({"input": []}, 400, "invalid_request", "input"),
        ({"model": "none"}, 404, "model_not_found", "model"),
        ({"tools": [{"type": "file_search"}]}, 400, "unsupported_value", "tools[0].type"),
        ({"background": True, "store": False}, 400, "invalid_request", "background"),
        ({"max_output_tokens": -3}, 400, "invalid_request", "max_output_tokens"),
        ({"input": "long " * 400_000}, 400, "context_length_exceeded", "input"),
    ):
        answer = await ask(client, **more)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    for path in (f"{PATH}/x/y", f"{PATH}/compact/x"):
        assert (await client.post(path, json={})).status_code == 404
    assert (await client.get(PATH)).status_code == 405
    engine.status = 500
    broken = await ask(client)
    assert (broken.status_code, broken.json()["error"]["type"]) == (502, "server_error")


async def test_a_stream_that_breaks_ends_with_a_failed_response(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.breaks_off = True
    events = [event for _, event in read((await ask(client, stream=True)).content)]
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["message"]
    assert events[-1]["sequence_number"] == len(events) - 1


async def test_azures_paths(client: httpx.AsyncClient) -> None:
    for path in ("/openai/v1/responses", "/openai/responses", f"{PATH}/"):
        answer = await client.post(path, json={**ASK, "store": False})
        assert answer.json()["object"] == "response", path


async def test_a_bound_makes_a_response_incomplete(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.finish_reason = "length"
    response = (await ask(client, max_output_tokens=3, store=False)).json()
    assert (response["status"], response["max_output_tokens"]) == ("incomplete", 3)
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


# Streams again -----------------------------------------------------------------------------------
async def test_any_stream_is_read_again_after_an_event(
    client: httpx.AsyncClient, globex: Tenant
) -> None:
    answer = await ask(client, stream=True, store=False)
    events = read(answer.content)
    path = f"{PATH}/{events[0][1]['response']['id']}/events"
    again = read((await client.get(path)).content)
    assert [event["type"] for _, event in again] == [event["type"] for _, event in events]
    assert again[-1][1]["response"]["output"] == events[-1][1]["response"]["output"]
    number = next(number for number, e in events if e.get("delta") == " two")
    rest = read((await client.get(path, headers={"last-event-id": str(number)})).content)
    assert (rest[0][1]["delta"], rest[0][1]["sequence_number"]) == (" three", 6)
    async with await client_of(globex) as stranger:
        assert (await stranger.get(path)).status_code == 404
    assert (await client.get(path, headers={"last-event-id": "x"})).status_code == 400


async def test_a_silent_engine_is_bridged_by_comments(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.api.http import streaming
    from inference.intake import answer_stream

    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 0.1)
    monkeypatch.setattr(streaming, "FIRST_WRITE_S", 0.0)
    monkeypatch.setattr(streaming, "SILENCE_S", 0.0)
    engine.goes_on.clear()
    asking = asyncio.create_task(ask(client, stream=True))

    async def has_begun() -> bool:
        return bool(engine.asked)

    await until(has_begun)
    await asyncio.sleep(0.5)
    engine.goes_on.set()
    answer = await asking
    assert answer.text.startswith("event: response.created\n")
    assert "\n\n: keep-alive\n" in answer.text
    events = [event for _, event in read(answer.content)]
    assert events[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


# Counting and compaction --------------------------------------------------------------------------
async def test_tokens_are_counted_by_the_engine(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = list[Any]()

    async def count(self: OpenAIEngine, session: object, body: dict[str, Any]) -> int:
        counted.append(body)
        return 41

    monkeypatch.setattr(OpenAIEngine, "count_chat", count)
    body = {**ASK, "instructions": "Be brief.", "tools": [WEATHER]}
    answer = await client.post(f"{PATH}/input_tokens", json=body)
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": 41}
    assert [m["role"] for m in counted[0]["messages"]] == ["system", "user"]
    assert counted[0]["tools"][0]["function"]["name"] == "get_weather"
    assert not await in_database(Completion.objects.filter(route=f"{PATH}/input_tokens").exists)()
    refused = await client.post(f"{PATH}/input_tokens", json={**ASK, "stream": True})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")


async def test_counting_takes_from_the_requests_per_minute(context: Context, acme: Tenant) -> None:
    limits = {"requests_per_minute": 1, "burst": 1}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    async with await client_of(acme) as client:
        path = f"{PATH}/input_tokens"
        statuses = [(await client.post(path, json=ASK)).status_code for _ in range(2)]
    assert statuses == [404, 429]  # this kind of engine counts nothing


async def test_a_conversation_is_summed_up_and_goes_on(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.words = ["They want", " Paris."]
    conversation = [HI, text_item("assistant", "Hello. Where to?"), text_item("user", "To Paris.")]
    body = {"model": "small", "input": conversation, "instructions": "Be brief."}
    compacted = (await client.post(f"{PATH}/compact", json=body)).json()
    assert compacted["object"] == "response.compaction"
    assert compacted["usage"]["output_tokens"] == 3
    *messages, summary = compacted["output"]
    assert [item["content"][0]["text"] for item in messages] == ["Say hi.", "To Paris."]
    assert summary["type"] == "compaction"
    assert [m["role"] for m in engine.asked[-1]["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert engine.asked[-1]["messages"][-1]["content"] == f"To Paris.\n\n{PROMPT}"
    await ask(client, input=[*compacted["output"], text_item("user", "When?")], store=False)
    (message,) = engine.asked[-1]["messages"]
    assert message["content"].endswith(
        "Summary of the conversation so far:\n\nThey want Paris.\n\nWhen?"
    )
    engine.words = [""]
    empty = await client.post(f"{PATH}/compact", json=body)
    assert (empty.status_code, empty.json()["error"]["code"]) == (503, "no_summary")


# Stored ------------------------------------------------------------------------------------------
async def test_a_conversation_by_its_last_response(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    first = (await ask(client)).json()
    second = (await ask(client, input="And?", previous_response_id=first["id"])).json()
    assert second["previous_response_id"] == first["id"]
    assert [m["content"] for m in engine.asked[-1]["messages"]] == [
        "Say hi.",
        "One two three",
        "And?",
    ]
    named = [HI, {"type": "item_reference", "id": first["output"][0]["id"]}, HI]
    await ask(client, input=named)
    assert [m["role"] for m in engine.asked[-1]["messages"]] == ["user", "assistant", "user"]
    unstored = (await ask(client, store=False)).json()
    refused = await ask(client, previous_response_id=unstored["id"])
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "previous_response_id")
