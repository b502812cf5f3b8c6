"""Several answers under one order: one admission, one record, one bill, one end."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import httpx2
import openai
import orjson
import pytest
from channels.db import database_sync_to_async

from audit.keys.keyring import keyring
from audit.models import Event, Payload
from inference.models import Completion
from tenants.models import Quota, Tenant
from tests.inference.choices.asking import CHAT, HI, chat, chunks, streamed_texts, text, texts
from tests.inference.choices.conftest import TOKENS, House
from tests.inference.running import until
from tests.inference.web import served

in_database = database_sync_to_async
THREE = ["hi 1 end", "hi 2 end", "hi 3 end"]
WITH_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


# Answers -----------------------------------------------------------------------------------------
async def test_three_answers_are_one_request_and_one_bill(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await chat(client)
    assert sorted(texts(answer)) == THREE
    body = answer.json()
    prompt = house.prompt_tokens(1, 3)
    counts = {"prompt_tokens": prompt, "completion_tokens": 3 * TOKENS}
    assert body["usage"] == counts
    assert (body["id"], body["model"], body["object"]) == (
        f"chatcmpl-{UUID(answer.headers['x-request-id']).hex}",
        "small",
        "chat.completion",
    )
    (usage,) = await house.usages()
    assert str(usage.completion_id) == answer.headers["x-request-id"]
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, 3 * TOKENS)
    assert usage.finish_reason == "stop"
    assert len(house.engine.asked) == (1 if house.together else 3)
    assert [body.get("n") for body in house.engine.asked] == ([3] if house.together else [None] * 3)


async def test_a_stream_names_the_choice_of_each_event(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await chat(client, **WITH_USAGE)
    assert sorted(texts(answer)) == THREE
    events = chunks(answer.text)
    assert all(len(event["choices"]) == 1 for event in events[:-1])
    assert {event["id"] for event in events} == {
        f"chatcmpl-{UUID(answer.headers['x-request-id']).hex}"
    }
    assert {(event["model"], event["created"]) for event in events} == {("small", 1)}
    counts = {"prompt_tokens": house.prompt_tokens(1, 3), "completion_tokens": 3 * TOKENS}
    assert (events[-1]["choices"], events[-1]["usage"]) == ([], counts)
    assert not any("usage" in event for event in events[:-1])
    assert answer.text.rstrip().endswith("data: [DONE]")


async def test_answers_come_at_the_same_time(house: House, client: httpx.AsyncClient) -> None:
    """Each has a slot of the engine, or the engine makes them together."""
    house.engine.goes_on.clear()
    body = {"model": "small", "messages": HI, "n": 3, "stream": True}
    asking = asyncio.create_task(client.post(CHAT, json=body))
    await _are_halfway(house)
    house.engine.goes_on.set()
    events = chunks((await asking).text)
    assert {choice["index"] for event in events for choice in event["choices"]} == {0, 1, 2}


async def _are_halfway(house: House) -> None:
    """Wait until the engine has begun all three answers, of which none ends before `goes_on`."""
    questions = 1 if house.together else 3
    await until(lambda: _holds(lambda: house.engine.halfway == questions))


async def _holds(what: Callable[[], bool]) -> bool:
    return what()


async def test_several_prompts_are_numbered_as_openai_does(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await text(client, ["a", "b", "c"], n=2)
    assert [each[0] for each in texts(answer)] == ["a", "a", "b", "b", "c", "c"]
    assert len(set(texts(answer))) == 6
    assert answer.json()["usage"]["prompt_tokens"] == house.prompt_tokens(3, 2)
    assert len(await house.usages()) == 1
    lists = await text(client, [[1, 2], [3]], stream=True)
    assert [each.split("]")[0] for each in texts(lists)] == ["[1, 2", "[3"]


async def test_one_prompt_in_a_list_and_n_of_one_are_plain(
    house: House, client: httpx.AsyncClient
) -> None:
    assert texts(await text(client, ["a"], n=1, best_of=1)) == ["a 1 end"]
    (question,) = house.engine.asked
    assert question["prompt"] == "a"


async def test_a_seed_does_not_make_all_answers_the_same(
    house: House, client: httpx.AsyncClient
) -> None:
    await chat(client, seed=7)
    seeds = sorted(body["seed"] for body in house.engine.asked)
    assert seeds == ([7] if house.together else [7, 8, 9])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"best_of": 2}, "best_of"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": ["a"] * 9, "n": 8}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": ["a", [1]], "n": 1.5}, "n"),
        ({"prompt": ["a", "b" * 9000]}, "prompt"),
        ({"prompt": ["a", [1] * 600]}, "prompt"),
    ],
)
async def test_what_is_refused(
    house: House, client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    answer = await client.post("/v1/completions", json={"model": "small", "prompt": "a", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert house.engine.asked == []


async def test_the_plain_call_takes_one_prompt(house: House, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/inference", json={"prompt": ["a", "b"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


# The record --------------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
async def test_the_record_has_all_answers(
    house: House, client: httpx.AsyncClient, stream: bool
) -> None:
    answer = await chat(client, stream=stream)
    request_id = UUID(answer.headers["x-request-id"])

    def recorded() -> tuple[list[str], dict[str, Any]]:
        events = Event.objects.filter(request_id=request_id).order_by("at")
        payload = Payload.objects.get(request_id=request_id, field="response")
        aad = b"audit_payload|%b|%b|response" % (payload.tenant_id.bytes, request_id.bytes)
        clear = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), aad)
        return [event.action for event in events], orjson.loads(clear)

    actions, response = await in_database(recorded)()
    assert actions == ["completion:received", "completion:completed"]
    contents = [choice["message"]["content"] for choice in response["choices"]]
    assert sorted(contents) == THREE
    assert contents == texts(answer)


async def test_a_quota_sets_all_answers_aside_and_counts_what_they_were(
    house: House, acme: Tenant
) -> None:
    await in_database(lambda: Quota.set(acme, by="test", unit="tokens", window="day", limit=1000))()
    client = await house.client()
    answer = await chat(client, n=2)
    took = house.prompt_tokens(1, 2) + 2 * TOKENS
    assert answer.headers["x-quota-remaining-tokens"] == str(1000 - took)
    count = len(house.engine.asked)
    refused = await chat(client, n=8, max_tokens=200)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert len(house.engine.asked) == count
    assert (await chat(client, n=1, max_tokens=200)).status_code == 200


async def test_it_counts_as_one_request(house: House, acme: Tenant) -> None:
    limits = {"requests_per_minute": 2, "burst": 2}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    client = await house.client()
    statuses = [(await chat(client, n=8)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_an_idempotency_key_gives_the_same_choices(
    house: House, client: httpx.AsyncClient
) -> None:
    for stream in (False, True):
        headers = {"Idempotency-Key": f"order {stream}"}
        first = await chat(client, headers=headers, stream=stream)
        count = len(house.engine.asked)
        again = await chat(client, headers=headers, stream=stream)
        assert again.headers["x-forebay-replayed"] == "true"
        assert texts(first) == texts(again)
        assert len(house.engine.asked) == count
        other = await chat(client, n=2, headers=headers, stream=stream)
        assert other.status_code == 422


async def test_a_kept_answer_has_all_choices_and_is_for_as_many(
    house: House, client: httpx.AsyncClient
) -> None:
    use: dict[str, Any] = {"headers": {"x-forebay-cache": "use"}, "temperature": 0}
    first, again = await chat(client, **use), await chat(client, stream=True, **use)
    assert texts(first) == texts(again)
    assert [one.headers["x-forebay-cache"] for one in (first, again)] == ["miss", "hit"]
    fewer = await chat(client, n=2, **use)
    assert fewer.headers["x-forebay-cache"] == "miss"


async def test_a_stream_is_read_again_from_any_event(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await chat(client, stream=True)
    path = f"/v1/completions/{answer.headers['x-request-id']}/events"
    whole = chunks(answer.text)
    for after in (0, 1, 5, len(whole) - 1):
        rest = await client.get(path, headers={"Last-Event-ID": str(after)})
        assert chunks(rest.text) == whole[after:]
    assert sorted(streamed_texts(whole)) == THREE


# The end of one is the end of all ----------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_fails_ends_all(
    house: House, client: httpx.AsyncClient, stream: bool
) -> None:
    house.engine.fails_at = 1 if house.together else 2
    answer = await chat(client, stream=stream)
    if stream:
        error = chunks(answer.text)[-1]["error"]
    else:
        error = answer.json()["error"]
        assert answer.status_code == 502
    assert error["code"] == "engine_failed"
    assert "of 3: the others end with it" in error["message"]
    (usage,) = await house.usages()
    assert (usage.status, usage.finish_reason) == (502, "error")
    assert usage.completion_tokens <= 3 * TOKENS


async def test_the_engines_refusal_is_the_clients(house: House, client: httpx.AsyncClient) -> None:
    house.engine.status = 400
    answer = await chat(client)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no")


async def test_a_leaving_client_ends_all_answers(house: House, client: httpx.AsyncClient) -> None:
    house.engine.goes_on.clear()
    asking = asyncio.create_task(chat(client, stream=True))
    await _are_halfway(house)
    completion = await in_database(Completion.objects.get)()
    asking.cancel()

    async def is_cancelled() -> bool:
        await in_database(completion.refresh_from_db)()
        return str(completion.state) == "cancelled"

    await until(is_cancelled)
    house.engine.goes_on.set()
    await until(lambda: _holds(lambda: house.engine.left == house.engine.halfway))
    (usage,) = await house.usages()
    assert usage.finish_reason == "cancelled"
    assert usage.completion_tokens <= 3


# Clients -----------------------------------------------------------------------------------------
async def test_openais_client(house: House, client: httpx.AsyncClient) -> None:
    async with openai.AsyncOpenAI(
        base_url="http://forebay/v1",
        api_key=client.headers["authorization"].removeprefix("Bearer "),
        http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(served)),
        max_retries=0,
    ) as sdk:
        messages: Any = HI
        whole = await sdk.chat.completions.create(model="small", messages=messages, n=3)
        assert sorted(each.message.content or "" for each in whole.choices) == THREE
        assert [each.index for each in whole.choices] == [0, 1, 2]
        many = await sdk.completions.create(model="small", prompt=["x", "y"], n=2, best_of=2)
        assert [each.text[0] for each in many.choices] == ["x", "x", "y", "y"]
        stream = await sdk.completions.create(model="small", prompt=["v", "w"], stream=True)
        words = ["", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                words[choice.index] += choice.text
        assert words == ["v 1 end", "w 1 end"]
        with pytest.raises(openai.BadRequestError, match="best_of"):
            await sdk.completions.create(model="small", prompt="x", n=1, best_of=4)
        with pytest.raises(openai.NotFoundError, match="serves text only"):
            await sdk.images.generate(model="small", prompt="x")
