"""A stored response is its key's own: it is retrieved, and deleted, by nobody else."""

import logging
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from audit.keys.keyring import destroy
from audit.models import Event, Payload
from tenants.models import ApiKey, Tenant
from tests.inference.api.responses.stored.asking import (
    PATH,
    bills,
    cancel,
    completion_of,
    create,
    delete,
    ended,
    events,
    get,
    in_database,
    items,
    send,
    state,
    stored_rows,
    text,
)
from tests.inference.engine_server import EngineServer
from tests.inference.running import until
from tests.inference.web import current, served

NOT_FOUND = "response_not_found"


async def test_it_is_retrieved_as_it_was_answered(alice: httpx.AsyncClient) -> None:
    created = await create(alice, metadata={"case": "7"}, instructions="Be brief.")
    again = (await get(alice, created)).json()
    assert text(again) == "One two three"
    assert abs(again.pop("completed_at") - created.pop("completed_at")) <= 2
    assert again == created
    assert await bills(created) == 1


async def test_a_streamed_one_too(alice: httpx.AsyncClient) -> None:
    sent = events(await send(alice, stream=True))
    final = sent[-1]["response"]
    again = (await get(alice, final)).json()
    assert abs(again.pop("completed_at") - final.pop("completed_at")) <= 2
    assert again == final


async def test_the_key_of_a_deleted_one_gives_its_answer_no_more(alice: httpx.AsyncClient) -> None:
    request: dict[str, Any] = {
        "json": {"model": "small", "input": "hi"},
        "headers": {"idempotency-key": "once"},
    }
    created = (await alice.post(PATH, **request)).json()
    assert (await alice.post(PATH, **request)).json()["output"] == created["output"]
    await delete(alice, created)
    gone = await alice.post(PATH, **request)
    assert (gone.status_code, gone.json()["error"]["code"]) == (409, "idempotency_answer_gone")
    assert await bills(created) == 1


async def test_calls_and_thoughts_are_retrieved(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    engine.deltas = [
        {"reasoning_content": "Hm."},
        {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]},
    ]
    engine.finish_reason = "tool_calls"
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    final = events(await send(alice, stream=True, tools=tools))[-1]["response"]
    again = (await get(alice, final)).json()
    assert [item["type"] for item in again["output"]] == ["reasoning", "function_call"]
    assert again["output"] == final["output"]


async def test_an_incomplete_one_says_why(alice: httpx.AsyncClient, engine: EngineServer) -> None:
    engine.finish_reason = "length"
    created = await create(alice)
    again = (await get(alice, created)).json()
    assert again["status"] == "incomplete"
    assert again["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_one_that_is_not_to_be_stored_is_not(alice: httpx.AsyncClient) -> None:
    created = await create(alice, store=False)
    assert created["store"] is False
    reply = await get(alice, created)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, NOT_FOUND)
    assert await stored_rows() == 0


async def denials() -> Counter[str]:
    await current().refusals.flush()
    rows = await in_database(lambda: list(Event.objects.filter(action="access:denied")))()
    counts = Counter[str]()
    for event in rows:
        counts[event.error_code] += event.detail["count"]
    return counts


async def test_others_have_no_such_response_and_their_tries_are_on_record(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    hers = await create(alice, background=True)
    await ended(alice, hers)
    nobodys = f"resp_{uuid4().hex}"
    for other in (bob, charlie):
        for act in (get, delete, cancel, items):
            replies = [await act(other, hers), await act(other, nobodys)]
            assert [reply.status_code for reply in replies] == [404, 404]
            assert replies[0].text == replies[1].text, "a stranger learns that there is one"
        continued = [await send(other, previous_response_id=one) for one in (hers["id"], nobodys)]
        assert [reply.status_code for reply in continued] == [404, 404]
        assert continued[0].text == continued[1].text
        assert continued[0].json()["error"]["code"] == "previous_response_not_found"
    assert (await get(alice, hers)).status_code == 200
    assert await denials() == {NOT_FOUND: 16, "previous_response_not_found": 4}


@pytest.mark.parametrize(
    "identity", ["x", "resp_", "resp_x", "resp_" + "g" * 32, "resp_" + "a" * 64]
)
async def test_an_odd_id_is_none(alice: httpx.AsyncClient, identity: str) -> None:
    assert (await get(alice, identity)).status_code == 404
    assert (await delete(alice, identity)).status_code == 404


async def test_a_rotated_key_reads_on(context: object, acme: Tenant) -> None:
    key, secret = await in_database(ApiKey.issue)(acme, "ci", by="test")
    async with _client(secret) as first:
        created = await create(first)
    _, newer = await in_database(key.rotate)(by="test", overlap=timedelta(hours=1))
    async with _client(newer) as second:
        assert (await get(second, created)).json()["id"] == created["id"]


def _client(secret: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(served, client=("198.51.100.7", 5000))
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(transport=transport, base_url="http://forebay", headers=headers)


async def test_a_deletion_may_be_repeated(alice: httpx.AsyncClient) -> None:
    created = await create(alice)
    for _ in range(2):
        reply = await delete(alice, created)
        assert reply.json() == {"id": created["id"], "object": "response", "deleted": True}
    for act in (get, items, cancel):
        assert (await act(alice, created)).status_code == 404
    assert (await send(alice, previous_response_id=created["id"])).status_code == 404
    acts = await in_database(Event.objects.filter(action="response:delete").count)()
    texts = Payload.objects.filter(request_id=completion_of(created))
    assert (acts, await in_database(texts.count)()) == (1, 2), "the record keeps what it had"


async def test_deleting_a_running_one_ends_it(
    alice: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    created = await create(alice, background=True)
    assert (await delete(alice, created)).status_code == 200

    async def is_cancelled() -> bool:
        return await state(created) == "cancelled"

    await until(is_cancelled)
    engine.goes_on.set()
    assert await bills(created) == 1


async def test_without_its_persons_key_there_is_none(
    alice: httpx.AsyncClient, acme: Tenant
) -> None:
    created = await create(alice)
    key = await in_database(ApiKey.objects.get)(tenant=acme)
    await in_database(destroy)(acme.pk, key.subject_id)
    assert (await get(alice, created)).status_code in (403, 404)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"stream": "perhaps"}, "stream"),
        ({"starting_after": "-1"}, "starting_after"),
        ({"starting_after": "x"}, "starting_after"),
        ({"include": "everything"}, "include"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_odd_parameters(alice: httpx.AsyncClient, query: dict[str, str], param: str) -> None:
    reply = await get(alice, await create(alice), **query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_known_parameters(alice: httpx.AsyncClient) -> None:
    query = {"include[]": "reasoning.encrypted_content", "include_obfuscation": "false"}
    assert (await get(alice, await create(alice), **query)).status_code == 200


async def test_no_text_is_logged(
    alice: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    word = f"canary-{uuid4().hex}"
    created = await create(alice, input=word, instructions=word, metadata={"of": word})
    await get(alice, created), await items(alice, created), await delete(alice, created)
    await send(alice, previous_response_id=created["id"], input=word)
    assert word not in caplog.text


async def test_other_methods(alice: httpx.AsyncClient) -> None:
    created = await create(alice)
    reply = await alice.put(f"{PATH}/{created['id']}")
    assert reply.status_code == 405
    assert "DELETE" in reply.headers["allow"]
