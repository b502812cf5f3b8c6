"""The events of a stored response again: while it runs, after its end, and from the record."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from inference.engine_entries import SLOTS
from inference.models import Completion, StoredResponse
from inference.stream import frames
from tests.inference.api.responses.asking import PATCH
from tests.inference.api.responses.stored.asking import (
    PATH,
    Json,
    cancel,
    completion_of,
    create,
    delete,
    ended,
    events,
    get,
    in_database,
    send,
    text,
)
from tests.inference.engine_server import EngineServer
from tests.inference.running import until
from tests.inference.web import current


def without_times(listed: list[Json]) -> list[Json]:
    for event in listed:
        event.get("response", {}).pop("completed_at", None)
    return listed


async def test_all_events_again(alice: httpx.AsyncClient) -> None:
    first_events = without_times(events(await send(alice, stream=True)))
    again = without_times(events(await get(alice, first_events[-1]["response"], stream=True)))
    assert again == first_events


async def test_by_the_ids_of_its_events_it_is_read_again_as_its_request_wanted_it(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    function = {"name": "apply_patch", "arguments": '{"input":'}
    engine.deltas = [
        {"reasoning_content": "Hm."},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]},
    ]
    engine.finish_reason = "tool_calls"
    wishes = {"tools": [PATCH], "reasoning": {"summary": "auto"}, "instructions": "Be brief."}
    first_events = without_times(events(await send(alice, stream=True, **wishes)))
    final = first_events[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["reasoning", "custom_tool_call"]
    again = await alice.get(f"{PATH}/{final['id']}/events")
    assert without_times(events(again)) == first_events


@pytest.mark.parametrize("path", ["/v1/responses/{}/events", "/v1/completions/{}/events"])
async def test_a_deleted_response_has_no_events_on_any_path(
    alice: httpx.AsyncClient, path: str
) -> None:
    response = events(await send(alice, stream=True))[-1]["response"]
    address = path.format(completion_of(response))
    assert (await alice.get(address)).status_code == 200
    assert (await delete(alice, response)).status_code == 200
    assert (await alice.get(address)).status_code == 404


async def test_those_after_a_number(alice: httpx.AsyncClient) -> None:
    first_events = without_times(events(await send(alice, stream=True)))
    for after in (0, 3, len(first_events) - 2):
        query = {"stream": "true", "starting_after": after}
        again = without_times(events(await get(alice, first_events[-1]["response"], **query)))
        assert again == first_events[after + 1 :]


async def only_one() -> str:
    row = await in_database(StoredResponse.objects.get)()
    return str(row.public_id)


async def test_live_while_it_runs(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    engine.second_half.clear()
    first = asyncio.create_task(send(alice, stream=True, background=True))

    async def has_begun() -> bool:
        return bool(engine.asked)

    await until(has_begun)
    identity = await only_one()
    readers = [asyncio.create_task(get(alice, identity, stream=True)) for _ in range(2)]
    await asyncio.sleep(0.3)
    assert not any(reader.done() for reader in readers)
    engine.second_half.set()
    first_events = without_times(events(await first))
    for reader in readers:
        assert without_times(events(await reader)) == first_events


async def expire(response: Json) -> None:
    await current().redis.call("DEL", frames.history(completion_of(response).bytes))


async def test_from_the_record_once_its_events_have_expired(alice: httpx.AsyncClient) -> None:
    first_events = events(await send(alice, stream=True))
    final = first_events[-1]["response"]
    await expire(final)
    again = events(await get(alice, final, stream=True))
    deltas = [event["delta"] for event in again if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "One two three"
    assert [event["sequence_number"] for event in again] == list(range(len(again)))
    assert again[-1]["response"]["output"] == final["output"]


async def test_a_reader_that_had_some_gets_the_end_from_the_record(
    alice: httpx.AsyncClient,
) -> None:
    final = events(await send(alice, stream=True))[-1]["response"]
    await expire(final)
    (end,) = events(await get(alice, final, stream=True, starting_after=4))
    assert (end["type"], end["sequence_number"]) == ("response.completed", 5)
    assert end["response"]["output"] == final["output"]


async def test_items_in_turns_keep_their_ids(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.deltas = [
        *({"reasoning_content": "Hm."}, {"content": "One"}),
        *({"reasoning_content": "So."}, {"content": " two"}),
    ]
    first_events = events(await send(alice, stream=True))
    final = first_events[-1]["response"]
    kinds = ["reasoning", "message", "reasoning", "message"]
    assert [item["type"] for item in final["output"]] == kinds
    stored = (await get(alice, final)).json()
    assert stored["output"] == final["output"]
    (end,) = events(await get(alice, final, stream=True, starting_after=len(first_events) - 2))
    assert end["response"]["output"] == final["output"]
    await expire(final)
    again = events(await get(alice, final, stream=True))
    done = [e["item"] for e in again if e["type"] == "response.output_item.done"]
    assert (done, again[-1]["response"]["output"]) == (final["output"], final["output"])
    reference = {"type": "item_reference", "id": final["output"][3]["id"]}
    asked = {"role": "user", "content": "And?"}
    engine.deltas = []
    assert (await send(alice, input=[reference, asked])).status_code == 200
    assert engine.asked[-1]["messages"][0] == {"role": "assistant", "content": " two"}


@pytest.mark.parametrize("expired", [False, True])
async def test_of_a_cancelled_one(
    alice: httpx.AsyncClient, engine: EngineServer, *, expired: bool
) -> None:
    engine.second_half.clear()
    first = asyncio.create_task(send(alice, stream=True, background=True))

    async def has_begun() -> bool:
        return bool(engine.asked)

    await until(has_begun)
    created: Any = {"id": await only_one()}
    assert (await cancel(alice, created)).json()["status"] == "cancelled"
    engine.second_half.set()
    await first
    if expired:
        await expire(created)
    end = events(await get(alice, created, stream=True))[-1]
    assert (end["type"], end["response"]["status"]) == ("response.failed", "cancelled")


async def test_of_one_that_is_cancelled_while_it_waits(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    running = [await create(alice, background=True) for _ in range(SLOTS)]
    first = asyncio.create_task(send(alice, stream=True, background=True))
    created: Any = {"id": await until(_waiting)}
    reading = asyncio.create_task(get(alice, created, stream=True))
    await asyncio.sleep(0.3)
    assert (await cancel(alice, created)).json()["status"] == "cancelled"
    kinds = [event["type"] for event in events(await reading)]
    assert kinds == ["response.created", "response.in_progress", "response.failed"]
    engine.goes_on.set()
    await first
    for response in running:
        await ended(alice, response)


async def _waiting() -> str:
    """Returns the id of the streamed response once there is one."""
    row = await in_database(StoredResponse.objects.filter(pk__in=_streams).first)()
    return str(row.public_id) if row else ""


_streams = Completion.objects.filter(stream=True).values("pk")


async def test_who_comes_back_too_late_is_told_so(alice: httpx.AsyncClient) -> None:
    """[DONE] alone would say that all had come."""
    final = events(await send(alice, stream=True))[-1]["response"]
    await expire(final)
    await in_database(Completion.objects.update)(settled_at=timezone.now() - timedelta(minutes=3))
    headers = {"Last-Event-ID": "3"}
    (end,) = events(await alice.get(f"{PATH}/{final['id']}/events", headers=headers))
    assert (end["type"], end["response"]["error"]["code"]) == ("response.failed", "stream_expired")


async def test_one_without_stream_has_no_events(alice: httpx.AsyncClient) -> None:
    created = await ended(alice, await create(alice, background=True))
    assert text(created)
    reply = await get(alice, created, stream=True)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "response_not_streamed")
