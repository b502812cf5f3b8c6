"""`/api/embed` and `/api/embeddings` over the one admission path."""

import math
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async
from langchain_ollama import OllamaEmbeddings

from inference.models import Completion
from tests.inference.vectors.conftest import House, vector_of
from tests.inference.web import served

in_database = database_sync_to_async


async def embed(client: httpx.AsyncClient, inputs: Any, **fields: Any) -> httpx.Response:
    return await client.post("/api/embed", json={"model": "vectors", "input": inputs, **fields})


def unit(text: str) -> list[float]:
    vector = vector_of(text)
    return pytest.approx([number / math.hypot(*vector) for number in vector])  # type: ignore[return-value]


@pytest.mark.parametrize("inputs", ["hello", ["hello", "you"]])
async def test_each_text_has_a_vector_of_length_one(
    house: House, client: httpx.AsyncClient, inputs: Any
) -> None:
    answer = await embed(client, inputs, truncate=True, keep_alive="5m", options={"num_ctx": 512})
    body, texts = answer.json(), [inputs] if isinstance(inputs, str) else inputs
    assert body["embeddings"] == [unit(text) for text in texts]
    assert body["model"] == "vectors"
    assert body["prompt_eval_count"] == sum(map(len, texts))
    assert 0 < body["load_duration"] < body["total_duration"] < 60 * 10**9
    (usage,) = await house.usages()
    assert usage.prompt_tokens == sum(map(len, texts))
    request_id = answer.headers["x-request-id"]
    assert (await in_database(Completion.objects.get)(pk=request_id)).route == "/api/embed"


async def test_each_text_has_to_fit_into_the_context_and_not_all_together(
    client: httpx.AsyncClient,
) -> None:
    texts = ["x" * 300] * 100
    answer = await embed(client, texts)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["embeddings"]) == len(texts)


async def test_the_older_call_gives_the_engines_own(client: httpx.AsyncClient) -> None:
    body = {"model": "vectors:latest", "prompt": "hello"}
    answer = await client.post("/ollama/api/embeddings", json=body)
    assert answer.json() == {"embedding": vector_of("hello")}


async def test_without_a_text_there_is_nothing(house: House, client: httpx.AsyncClient) -> None:
    nothing: list[Any] = ["", [], None]
    for inputs in nothing:
        assert (await embed(client, inputs)).json() == {"model": "vectors", "embeddings": []}
    answer = await client.post("/api/embeddings", json={"model": "vectors", "prompt": ""})
    assert answer.json() == {"embedding": []}
    assert not house.engine.asked
    missing = await client.post("/api/embeddings", json={"model": "none"})
    assert (missing.status_code, missing.json()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"inputs": [7]}, "input", "invalid_request"),
        ({"inputs": ["a", ""]}, "input[1]", "invalid_request"),
        ({"inputs": "x" * 10_000}, "input", "context_length_exceeded"),
        ({"inputs": "a", "dimensions": -1}, "dimensions", "invalid_request"),
        ({"inputs": "a", "encoding_format": "float"}, "encoding_format", "invalid_request"),
        ({"inputs": "a", "model": "chats"}, "model", "unsupported_value"),
    ],
)
async def test_a_request_that_is_none(
    house: House, client: httpx.AsyncClient, fields: dict[str, Any], param: str, code: str
) -> None:
    refused = await embed(client, **fields)
    assert (refused.status_code, refused.json()["param"]) == (400, param)
    assert refused.json()["code"] == code
    assert not house.engine.asked


async def test_vectors_that_are_none_reach_nobody(house: House, client: httpx.AsyncClient) -> None:
    house.engine.answer = lambda body: {"data": []}
    for path, field in (("embed", "input"), ("embeddings", "prompt")):
        broken = await client.post(f"/api/{path}", json={"model": "vectors", field: "a"})
        assert broken.status_code == 502
        assert broken.json()["error"]


async def test_langchains_embeddings(client: httpx.AsyncClient) -> None:
    embeddings = OllamaEmbeddings(
        model="vectors",
        base_url="http://forebay:80/ollama",
        client_kwargs={"headers": {"Authorization": client.headers["authorization"]}},
        async_client_kwargs={"transport": httpx.ASGITransport(served)},
    )
    assert await embeddings.aembed_documents(["hello", "you"]) == [unit("hello"), unit("you")]
