"""`/v1/rerank` and `/v2/rerank` over the one admission path."""

from collections.abc import Callable
from typing import Any

import cohere
import httpx
import pytest

from tests.inference.vectors.conftest import House, ranked
from tests.inference.web import served

PATHS = ("/v1/rerank", "/v2/rerank")
TEXTS = ["aa", "a", "aaaa", "aaa"]


async def rank(
    client: httpx.AsyncClient, documents: Any = TEXTS, path: str = PATHS[0], **fields: Any
) -> httpx.Response:
    body = {"model": "vectors", "query": "who", "documents": documents} | fields
    return await client.post(path, json=body)


@pytest.mark.parametrize("path", PATHS)
async def test_the_best_document_comes_first(
    house: House, client: httpx.AsyncClient, path: str
) -> None:
    answer = await rank(client, path=path)
    body = answer.json()
    assert body["results"] == [
        {"index": 2, "relevance_score": 0.04},
        {"index": 3, "relevance_score": 0.03},
        {"index": 0, "relevance_score": 0.02},
        {"index": 1, "relevance_score": 0.01},
    ]
    assert body["model"] == "vectors"
    assert body["usage"] == {"prompt_tokens": 40, "total_tokens": 40}
    assert body["meta"]["billed_units"] == {"input_tokens": 40}
    assert body["id"] == f"rerank-{answer.headers['x-request-id'].replace('-', '')}"
    (usage,) = await house.usages()
    assert (usage.prompt_tokens, usage.completion_tokens) == (40, 0)
    assert "top_n" not in house.engine.asked[0][1]


def sdk_options(client: httpx.AsyncClient) -> dict[str, Any]:
    return {
        "api_key": client.headers["authorization"].removeprefix("Bearer "),
        "base_url": "http://forebay",
        "httpx_client": httpx.AsyncClient(transport=httpx.ASGITransport(served)),
    }


async def test_coheres_sdk_ranks_over_both_paths(house: House, client: httpx.AsyncClient) -> None:
    second = cohere.AsyncClientV2(**sdk_options(client))
    answer = await second.rerank(model="vectors", query="who", documents=TEXTS, top_n=2)
    assert [(each.index, each.relevance_score) for each in answer.results] == [(2, 0.04), (3, 0.03)]
    assert answer.meta
    assert answer.meta.billed_units
    assert answer.meta.billed_units.input_tokens == 40
    first = cohere.AsyncClient(**sdk_options(client))
    mixed: list[Any] = [{"text": "aa"}, "a"]
    known = await first.rerank(model="vectors", query="who", documents=mixed, return_documents=True)
    assert [each.document.text for each in known.results if each.document] == ["aa", "a"]
    with pytest.raises(cohere.BadRequestError, match="query"):
        await second.rerank(model="vectors", query="", documents=TEXTS)
    with pytest.raises(cohere.NotFoundError, match="nobody"):
        await second.rerank(model="nobody", query="who", documents=TEXTS)


async def test_top_n_and_documents_in_the_answer(house: House, client: httpx.AsyncClient) -> None:
    mixed = [{"text": "aa"}, "a", {"text": "aaaa"}]
    answer = await rank(client, mixed, top_n=2, return_documents=True)
    assert answer.json()["results"] == [
        {"index": 2, "relevance_score": 0.04, "document": {"text": "aaaa"}},
        {"index": 0, "relevance_score": 0.02, "document": {"text": "aa"}},
    ]
    more = await rank(client, mixed, top_n=99)
    assert [each["index"] for each in more.json()["results"]] == [2, 0, 1]


async def test_documents_of_one_request_are_ranked_across_portions(
    house: House, client: httpx.AsyncClient
) -> None:
    documents = ["a" * (1 + n * 37 % 101) for n in range(101)]
    answer = await rank(client, documents, top_n=3)
    best = [documents[each["index"]] for each in answer.json()["results"]]
    assert [len(text) for text in best] == [101, 100, 99]
    assert house.engine.portions == [32, 32, 32, 5]


async def test_a_kept_ranking_has_an_id_of_its_own(house: House, client: httpx.AsyncClient) -> None:
    client.headers["x-forebay-cache"] = "use"
    first, second = await rank(client), await rank(client)
    assert second.headers["x-forebay-cache"] == "hit"
    assert first.json()["results"] == second.json()["results"]
    assert first.json()["id"] != second.json()["id"]
    assert len(house.engine.asked) == 1


BAD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one too few": lambda reply: reply["results"].pop() and None,
    "an index twice": lambda reply: reply["results"][1].update(index=0),
    "no number": lambda reply: reply["results"][0].update(relevance_score=None),
    "true": lambda reply: reply["results"][0].update(relevance_score=True),
    "NaN": lambda reply: b'{"results":[{"index":0,"relevance_score":NaN}]}',
    "no list": lambda reply: reply.update(results=5),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_ranking_is_the_engines_fault(
    house: House, client: httpx.AsyncClient, name: str
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        reply = ranked(body)
        return BAD[name](reply) or reply

    house.engine.answer = answer
    refused = await rank(client)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "engine_failed")


async def test_a_list_of_scores_as_sglang_sends_it(house: House, client: httpx.AsyncClient) -> None:
    house.engine.answer = lambda body: [
        {"score": len(text), "document": text, "index": n}
        for n, text in enumerate(body["documents"])
    ]
    answer = await rank(client)
    assert [each["index"] for each in answer.json()["results"]] == [2, 3, 0, 1]
    assert answer.json()["usage"]["prompt_tokens"] > 0


async def test_a_model_that_ranks_nothing_is_never_asked(
    house: House, client: httpx.AsyncClient
) -> None:
    answer = await rank(client, model="chats")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "POST /v1/rerank" in answer.json()["error"]["message"]
    assert house.engine.asked == []
