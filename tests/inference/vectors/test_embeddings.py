"""`/v1/embeddings` over the one admission path."""

import asyncio
import base64
import struct
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest
from channels.db import database_sync_to_async

from audit.keys.keyring import keyring
from audit.models import Event, Payload
from inference.models import Completion
from inference.worker.handlers import vectors as handler
from tenants.models import Quota, Tenant
from tests.inference.running import until
from tests.inference.vectors.conftest import House, embedded, vector_of
from tests.inference.web import served

in_database = database_sync_to_async
PATH = "/v1/embeddings"


async def embed(client: httpx.AsyncClient, inputs: Any, **fields: Any) -> httpx.Response:
    return await client.post(PATH, json={"model": "vectors", "input": inputs, **fields})


def floats(answer: httpx.Response) -> list[list[float]]:
    assert answer.status_code == 200, answer.text
    return [row["embedding"] for row in answer.json()["data"]]


@pytest.mark.parametrize(
    ("inputs", "texts"),
    [
        ("hello", ["hello"]),
        (["hello", "you"], ["hello", "you"]),
        ([5, 6, 7], [[5, 6, 7]]),
        ([[5, 6], [7]], [[5, 6], [7]]),
    ],
)
async def test_each_input_has_its_vector(
    house: House, client: httpx.AsyncClient, inputs: Any, texts: list[Any]
) -> None:
    answer = await embed(client, inputs)
    assert floats(answer) == [vector_of(text) for text in texts]
    body, tokens = answer.json(), sum(map(len, texts))
    assert [row["index"] for row in body["data"]] == list(range(len(texts)))
    assert (body["object"], body["model"]) == ("list", "vectors")
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert house.engine.asked[0][0] == PATH
    assert house.engine.asked[0][1]["input"] == texts


async def test_the_sdk_gets_base64_by_default(house: House, client: httpx.AsyncClient) -> None:
    async with openai.AsyncOpenAI(
        base_url="http://forebay/v1",
        api_key=client.headers["authorization"].removeprefix("Bearer "),
        http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(served)),
        max_retries=0,
    ) as sdk:
        answer = await sdk.embeddings.create(model="vectors", input=["hello", "you"])
        assert [row.embedding for row in answer.data] == [vector_of("hello"), vector_of("you")]
        whole = await sdk.embeddings.with_raw_response.create(
            model="vectors", input="hello", encoding_format="float"
        )
        assert whole.parse().data[0].embedding == vector_of("hello")
        with pytest.raises(openai.BadRequestError, match="input"):
            await sdk.embeddings.create(model="vectors", input="")
    raw = await embed(client, "hello", encoding_format="base64")
    (text,) = floats(raw)
    assert list(struct.unpack("<4f", base64.b64decode(str(text)))) == vector_of("hello")


async def test_fewer_dimensions_have_a_length_of_one(
    house: House, client: httpx.AsyncClient
) -> None:
    (vector,) = floats(await embed(client, "abc", dimensions=2))
    assert vector == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
    refused = await embed(client, "abc", dimensions=5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert "at most 4" in refused.json()["error"]["message"]


async def test_many_inputs_go_in_portions_and_come_in_their_order(
    house: House, client: httpx.AsyncClient
) -> None:
    texts = ["x" * (1 + n % 97) for n in range(2048)]
    answer = await embed(client, texts)
    assert floats(answer) == [vector_of(text) for text in texts]
    assert house.engine.portions == [32] * 64
    assert answer.json()["usage"]["prompt_tokens"] == sum(map(len, texts))


# What is on record, and what it costs ------------------------------------------------------------
async def test_the_record_has_the_request_its_answer_and_its_tokens(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await embed(client, ["hello", "you"], user="u-1")
    (usage,) = await house.usages()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.status) == (8, 0, 200)
    assert str(usage.completion_id) == answer.headers["x-request-id"]
    assert "x-audit-receipt" in answer.headers

    def texts() -> tuple[list[str], dict[str, bytes]]:
        events = Event.objects.filter(request_id=usage.completion_id).order_by("at")
        opened = {}
        for payload in Payload.objects.filter(request_id=usage.completion_id, field="response"):
            ids = payload.tenant_id.bytes, usage.completion_id.bytes
            cipher = keyring.by_id_now(payload.data_key_id)
            aad = b"audit_payload|%b|%b|response" % ids
            opened["response"] = cipher.decrypt(bytes(payload.ciphertext), aad)
        return [event.action for event in events], opened

    actions, opened = await in_database(texts)()
    assert actions == ["completion:received", "completion:completed"]
    assert opened["response"] == answer.content


async def test_a_quota_sets_the_tokens_aside_and_counts_what_they_were(
    house: House, client: httpx.AsyncClient, acme: Tenant
) -> None:
    await in_database(lambda: Quota.set(acme, by="test", unit="tokens", window="day", limit=60))()
    fresh = await house.client()
    answer = await embed(fresh, "hello")
    assert answer.headers["x-quota-remaining-tokens"] == "55"
    refused = await embed(fresh, "x" * 200)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert len(house.engine.asked) == 1


async def test_a_leaving_client_ends_it_between_two_portions(
    house: House, client: httpx.AsyncClient
) -> None:
    house.engine.goes_on.clear()
    asking = asyncio.create_task(embed(client, ["hello"] * 320))
    await until(lambda: _asked(house, 1))
    completion = await in_database(Completion.objects.get)()
    asking.cancel()
    await until(lambda: _state(completion, "cancelled"))
    house.engine.goes_on.set()
    assert len(house.engine.asked) == 1
    (usage,) = await house.usages()
    assert usage.finish_reason == "cancelled"
    assert usage.prompt_tokens < 320 * 5


async def _asked(house: House, count: int) -> bool:
    return len(house.engine.asked) >= count


async def _state(completion: Completion, state: str) -> bool:
    await in_database(completion.refresh_from_db)()
    return completion.state == state


# Kept and repeated answers -----------------------------------------------------------------------
async def test_a_kept_answer_asks_no_engine_and_is_the_tenants_alone(
    house: House, client: httpx.AsyncClient
) -> None:
    use = {"x-forebay-cache": "use"}
    body = {"model": "vectors", "input": ["hello"]}
    first = await client.post(PATH, json=body, headers=use)
    second = await client.post(PATH, json={**body, "user": "another"}, headers=use)
    assert (first.headers["x-forebay-cache"], second.headers["x-forebay-cache"]) == ("miss", "hit")
    assert floats(first) == floats(second)
    assert second.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}
    plain = await client.post(PATH, json=body)
    assert "x-forebay-cache" not in plain.headers
    globex = await in_database(Tenant.open)("globex", by="test")
    theirs = await (await house.client(globex)).post(PATH, json=body, headers=use)
    assert theirs.headers["x-forebay-cache"] == "miss"
    shorter = await client.post(PATH, json={**body, "dimensions": 2}, headers=use)
    assert shorter.headers["x-forebay-cache"] == "miss"
    assert len(house.engine.asked) == 4


async def test_an_idempotency_key_gives_the_same_bytes(
    house: House, client: httpx.AsyncClient
) -> None:
    headers, body = {"Idempotency-Key": "order-1"}, {"model": "vectors", "input": "hello"}
    first = await client.post(PATH, json=body, headers=headers)
    again = await client.post(PATH, json=body, headers=headers)
    assert again.headers["x-forebay-replayed"] == "true"
    assert again.content == first.content
    other = await client.post(PATH, json={**body, "input": "you"}, headers=headers)
    assert other.status_code == 422
    assert len(house.engine.asked) == 1


# Engines that answer badly -----------------------------------------------------------------------
def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def answer(body: dict[str, Any]) -> Any:
        reply = embedded({**body, "encoding_format": "float"})
        return change(reply) or reply

    return answer


BAD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one too few": lambda reply: reply["data"].pop() and None,
    "one too many": lambda reply: reply["data"].append(reply["data"][0]),
    "an index twice": lambda reply: reply["data"][1].update(index=0),
    "an index beyond": lambda reply: reply["data"][1].update(index=2),
    "different lengths": lambda reply: reply["data"][1].update(embedding=[1.0]),
    "an empty vector": lambda reply: [row.update(embedding=[]) for row in reply["data"]] and None,
    "a null in it": lambda reply: reply["data"][0].update(embedding=[None, 1.0, 1.0, 1.0]),
    "a word": lambda reply: reply["data"][0].update(embedding="no base64!"),
    "half a number": lambda reply: reply["data"][0].update(embedding="AAA="),
    "NaN in base64": lambda reply: reply["data"][0].update(
        embedding=base64.b64encode(struct.pack("<4f", 1, float("nan"), 1, 1)).decode()
    ),
    "infinite on both sides": lambda reply: reply["data"][0].update(
        embedding=base64.b64encode(struct.pack("<4f", float("inf"), float("-inf"), 1, 1)).decode()
    ),
    "infinite": lambda reply: reply["data"][0].update(embedding=[1e300, 1, 1, 1]),
    "no list": lambda reply: reply.update(data={"0": []}),
    "NaN in JSON": lambda reply: b'{"data":[{"embedding":[NaN]},{"embedding":[1]}]}',
    "no JSON": lambda reply: b"<html>",
    "a list": lambda reply: b"[]",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_answer_is_the_engines_fault_and_reaches_nobody(
    house: House, client: httpx.AsyncClient, name: str
) -> None:
    house.engine.answer = changed(BAD[name])
    answer = await embed(client, ["hello", "you"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_failed"), name
    (usage,) = await house.usages()
    assert (usage.status, usage.prompt_tokens, usage.finish_reason) == (502, 0, "error")


async def test_an_engine_without_a_count_is_counted_here(
    house: House, client: httpx.AsyncClient
) -> None:
    house.engine.answer = changed(lambda reply: reply.pop("usage") and None)
    assert (await embed(client, "hello world")).json()["usage"]["prompt_tokens"] > 0
    house.engine.answer = changed(lambda reply: reply["usage"].update(prompt_tokens=10**9))
    assert (await embed(client, "hello world")).json()["usage"]["prompt_tokens"] < 100
    house.engine.answer = changed(lambda reply: reply["usage"].update(prompt_tokens=0))
    assert (await embed(client, "hello world")).json()["usage"]["prompt_tokens"] > 0


async def test_an_answer_that_grows_too_long_ends_after_the_first_portion(
    house: House, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "LONGEST_ANSWER", 4000)
    answer = await embed(client, ["hello"] * 64)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "answer_too_long")
    assert "base64" in error["message"]
    assert house.engine.portions == [32]
    (usage,) = await house.usages()
    assert usage.prompt_tokens == 32 * 5, "what the engine did is paid for"


async def test_the_engines_own_refusal_is_the_clients_and_an_unknown_path_is_named(
    house: House, client: httpx.AsyncClient
) -> None:
    house.engine.status = 400
    house.engine.answer = lambda body: {"error": {"message": "Prompt contains invalid tokens"}}
    answer = await embed(client, [999_999_999])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert "invalid tokens" in answer.json()["error"]["message"]
    house.engine.status = 404
    answer = await embed(client, "hello")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_offered")
    assert "POST /v1/embeddings" in answer.json()["error"]["message"]


async def test_an_engine_that_cannot_embed_is_never_asked(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await client.post(PATH, json={"model": "chats", "input": "hello"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "unsupported_value",
        "model",
    )
    assert "POST /v1/embeddings" in error["message"]
    assert house.engine.asked == []
    models = {m["id"]: m for m in (await client.get("/v1/models")).json()["data"]}
    assert models["chats"]["capabilities"] == {"embeddings": False, "rerank": False}


async def test_azures_and_the_beta_path_are_the_same(
    house: House, client: httpx.AsyncClient
) -> None:
    for path in ("/openai/v1/embeddings", "/openai/embeddings", "/beta/embeddings"):
        assert (await client.post(path, json={"model": "vectors", "input": "a"})).status_code == 200
    deployed = "/openai/deployments/vectors/embeddings?api-version=2024-10-21"
    assert (await client.post(deployed, json={"input": "a"})).status_code == 200
