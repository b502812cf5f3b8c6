"""`/v1/tokenize` and `/v1/detokenize`, in the shape of vLLM's server."""

from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from tenants.models import Tenant
from tests.inference.choices.asking import HI
from tests.inference.choices.conftest import House

in_database = database_sync_to_async


@pytest.fixture
def kind() -> str:
    return "vllm"


@pytest.mark.parametrize("path", ["/v1/tokenize", "/tokenize", "/openai/v1/tokenize"])
async def test_the_tokens_of_a_text(house: House, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"model": "small", "prompt": "Paris is big"})
    tokens = {"count": 4, "max_model_len": 512, "tokens": [0, 1, 2, 3], "token_strs": None}
    assert answer.json() == tokens
    bare = {"model": "small", "prompt": "Paris is big", "add_special_tokens": False}
    assert (await client.post(path, json=bare)).json()["tokens"] == [1, 2, 3]


async def test_the_tokens_of_a_chat(house: House, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/tokenize", json={"model": "small", "messages": HI})
    assert (answer.json()["count"], answer.json()["tokens"]) == (2, [1, 2])


async def test_the_text_of_tokens(house: House, client: httpx.AsyncClient) -> None:
    body = {"model": "small", "tokens": [1, 2, 3]}
    for path in ("/v1/detokenize", "/detokenize"):
        assert (await client.post(path, json=body)).json() == {"prompt": "Paris is big"}
    unknown = await client.post("/v1/detokenize", json={"model": "small", "tokens": [1, 99]})
    error = unknown.json()["error"]
    assert (unknown.status_code, error["param"]) == (400, "tokens")


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("tokenize", {}, "prompt"),
        ("tokenize", {"prompt": ["a", "b"]}, "prompt"),
        ("tokenize", {"prompt": "a", "messages": HI}, "prompt"),
        ("tokenize", {"prompt": "a", "tools": []}, "tools"),
        ("tokenize", {"prompt": "a", "return_token_strs": True}, "return_token_strs"),
        ("tokenize", {"prompt": "a", "max_tokens": 5}, "max_tokens"),
        ("tokenize", {"messages": "hi"}, "messages"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": []}, "tokens"),
        ("detokenize", {"tokens": [1, "a"]}, "tokens"),
        ("detokenize", {"tokens": [-1]}, "tokens"),
        ("detokenize", {"tokens": [1], "prompt": "a"}, "prompt"),
    ],
)
async def test_what_is_refused(
    house: House, client: httpx.AsyncClient, path: str, fields: dict[str, Any], param: str
) -> None:
    answer = await client.post(f"/v1/{path}", json={"model": "small", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/messages/count_tokens"])
async def test_a_chat_that_the_template_refuses_is_the_clients_fault(
    house: House, client: httpx.AsyncClient, path: str
) -> None:
    house.engine.template_refuses = True
    answer = await client.post(path, json={"model": "small", "messages": HI})
    assert answer.status_code == 400, answer.text
    assert "does not take this prompt" in answer.json()["error"]["message"]


async def test_it_is_a_request_and_no_record(house: House, acme: Tenant) -> None:
    limits = {"requests_per_minute": 2, "burst": 2}
    await in_database(Tenant.objects.filter(pk=acme.pk).update)(**limits)
    client = await house.client()
    body = {"model": "small", "prompt": "Paris"}
    statuses = [(await client.post("/v1/tokenize", json=body)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert await house.usages() == []


class TestOtherEngines:
    @pytest.fixture
    def kind(self) -> str:
        return "openai"

    async def test_a_kind_that_does_not_tell_says_so(
        self, house: House, client: httpx.AsyncClient
    ) -> None:
        for path, fields in (
            ("tokenize", {"prompt": "a"}),
            ("tokenize", {"messages": HI}),
            ("detokenize", {"tokens": [1]}),
        ):
            answer = await client.post(f"/v1/{path}", json={"model": "small", **fields})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (400, "unsupported_value")
            assert "do not say the tokens" in error["message"]


class TestSglang:
    @pytest.fixture
    def kind(self) -> str:
        return "sglang"

    async def test_sglang_tells_those_of_texts(
        self, house: House, client: httpx.AsyncClient
    ) -> None:
        text = await client.post("/v1/tokenize", json={"model": "small", "prompt": "Paris is"})
        assert text.json()["tokens"] == [0, 1, 2]
        refused = await client.post("/v1/tokenize", json={"model": "small", "messages": HI})
        assert refused.status_code == 400
        assert "of a chat" in refused.json()["error"]["message"]
        back = await client.post("/v1/detokenize", json={"model": "small", "tokens": [1, 2]})
        assert back.json() == {"prompt": "Paris is"}


@pytest.mark.parametrize(
    "path",
    ["audio/speech", "audio/transcriptions", "images/generations", "videos", "realtime/sessions"],
)
async def test_other_media_are_not_served(
    house: House, client: httpx.AsyncClient, path: str
) -> None:
    for front in ("/v1", "/openai/v1"):
        answer = await client.post(f"{front}/{path}", json={"model": "small"})
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (404, "invalid_request_error")
        assert "this platform serves text only" in error["message"]
