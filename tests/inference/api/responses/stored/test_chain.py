"""A response continues an earlier one of the same key, with its input and its output."""

from typing import Any

import httpx
import pytest
from pytest_django.fixtures import Settings

from inference.stored_responses import limits
from tests.inference.api.responses.stored.asking import (
    cancel,
    create,
    delete,
    ended,
    events,
    get,
    items,
    send,
    text,
)
from tests.inference.engine_server import EngineServer

NAME = "previous_response_id"


def messages(engine: EngineServer) -> list[tuple[str, Any]]:
    return [(each["role"], each["content"]) for each in engine.asked[-1]["messages"]]


async def test_the_model_gets_all_that_was_said(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    first = await create(alice, input="My name is Alice.", instructions="Be brief.")
    second = await create(alice, input="And now?", previous_response_id=first["id"])
    third = events(
        await send(alice, input="Who am I?", previous_response_id=second["id"], stream=True)
    )[-1]["response"]
    assert messages(engine) == [
        ("user", "My name is Alice."),
        ("assistant", "One two three"),
        ("user", "And now?"),
        ("assistant", "One two three"),
        ("user", "Who am I?"),
    ], "the instructions of an earlier response count for that one alone"
    assert third[NAME] == second["id"]
    listed = (await items(alice, third, order="asc")).json()["data"]
    assert [item["role"] for item in listed] == ["user", "assistant"] * 2 + ["user"]
    assert len({item["id"] for item in listed}) == 5
    assert listed[1]["id"] == first["output"][0]["id"]


async def test_a_call_and_its_result(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    engine.deltas = [{"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}]
    engine.finish_reason = "tool_calls"
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    first = events(await send(alice, tools=tools, stream=True))[-1]["response"]
    engine.deltas, engine.finish_reason = [], "stop"
    result = {"type": "function_call_output", "call_id": "call_1", "output": "22 degrees"}
    await create(alice, input=[result], tools=tools, previous_response_id=first["id"])
    sent = engine.asked[-1]["messages"]
    assert [each["role"] for each in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "call_1"


async def test_deleting_an_earlier_one_leaves_the_later_whole(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    first = await create(alice, input="My name is Alice.")
    second = await create(alice, input="And now?", previous_response_id=first["id"])
    await delete(alice, first)
    await create(alice, input="Who am I?", previous_response_id=second["id"])
    assert messages(engine)[0] == ("user", "My name is Alice.")
    assert (await get(alice, second)).status_code == 200


async def test_two_may_continue_one(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    first = await create(alice, input="A story.")
    for ending in ("A good end.", "A bad end."):
        await create(alice, input=ending, previous_response_id=first["id"])
        assert messages(engine)[-1] == ("user", ending)
        assert len(messages(engine)) == 3


async def refusal(client: httpx.AsyncClient, previous: Any) -> tuple[int, str, str]:
    reply = await send(client, previous_response_id=previous)
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]


async def test_one_that_is_not_over_cannot_be_continued(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    running = await create(alice, background=True)
    not_over = (400, "previous_response_not_completed", NAME)
    assert await refusal(alice, running["id"]) == not_over
    await cancel(alice, running)
    assert await refusal(alice, running["id"]) == not_over
    engine.goes_on.set()


async def test_a_failed_one_cannot_be_continued(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.status = 500
    failed = await ended(alice, await create(alice, background=True))
    assert failed["status"] == "failed"
    engine.status = 200
    assert await refusal(alice, failed["id"]) == (400, "previous_response_not_completed", NAME)


async def test_a_chain_has_a_most_of_items(
    alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_ITEMS", 3)
    first = await create(alice)
    second = await create(alice, previous_response_id=first["id"])
    assert await refusal(alice, second["id"]) == (400, "chain_too_long", NAME)


async def test_a_chain_has_a_most_of_bytes(alice: httpx.AsyncClient, settings: Settings) -> None:
    settings.MAX_BODY_BYTES = 20_000
    first = await create(alice, input="x" * 9000)
    second = await create(alice, input="x" * 500, previous_response_id=first["id"])
    reply = await send(alice, input="x" * 15_000, previous_response_id=second["id"])
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "chain_too_long")


async def test_a_reference_is_the_item_of_a_stored_response(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: EngineServer
) -> None:
    first = await create(alice)
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    question = {"role": "user", "content": "Again!"}
    second = await create(alice, input=[reference, question])
    assert messages(engine) == [("assistant", "One two three"), ("user", "Again!")]
    assert text(second) == "One two three"
    reply = await send(bob, input=[reference, question])
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "item_not_found")


async def test_a_chain_has_a_most_of_objects_and_lists(
    alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is checked in its own request, and all of them are read again in each further one."""
    monkeypatch.setattr(limits, "MOST_CONTAINERS", 9)
    message = {"role": "user", "content": "[{" * 20, "beside": [[], []]}
    first = await create(alice, input=[message])
    assert await refusal(alice, first["id"]) == (400, "chain_too_long", NAME)
