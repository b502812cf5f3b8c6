"""An `Idempotency-Key` creates one batch, whoever asks again and whenever."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from inference.api.openai import creation_key
from inference.intake.idempotency_claim import Claim
from inference.models import Batch, BatchState, IdempotencyKey
from tenants.models import ApiKey
from tests.inference.batch.conftest import CHAT, Shop, jsonl, line, rows_of
from tests.inference.cut_offs import commits_cut_off

in_database = database_sync_to_async
Begin = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def begin(shop: Shop) -> Begin:
    """Begins a batch of one file with a key."""
    file = (await shop.upload(jsonl([line(1)]))).json()
    fields = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}

    async def begin(
        key: str = "nightly-1", path: str = "/v1/batches", **more: Any
    ) -> httpx.Response:
        headers = {"idempotency-key": key, **more.pop("headers", {})}
        return await shop.client.post(path, json=fields | more, headers=headers)

    return begin


async def batches() -> list[str]:
    return [row.public_id for row in await rows_of(Batch.objects.all())]


async def test_a_second_request_gets_the_first_ones_batch(shop: Shop, begin: Begin) -> None:
    first, second = await begin(), await begin()
    assert second.json() == first.json()
    assert "x-forebay-replayed" not in first.headers
    assert second.headers["x-forebay-replayed"] == "true"
    other = await begin("nightly-2")
    assert sorted(await batches()) == sorted([first.json()["id"], other.json()["id"]])


@pytest.mark.parametrize("path", ["/openai/v1/batches", "/openai/batches", "/v1/batches/"])
async def test_other_paths_of_batches_are_the_same(begin: Begin, path: str) -> None:
    first, second = await begin(), await begin(path=path)
    assert (second.status_code, second.json()) == (200, first.json())
    assert len(await batches()) == 1


async def test_it_shows_the_batch_as_it_is_now(shop: Shop, begin: Begin) -> None:
    batch = (await begin()).json()
    await shop.client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (await begin()).json()["status"] == "cancelling"


async def test_ten_at_once_get_one(shop: Shop, begin: Begin) -> None:
    answers = await asyncio.gather(*(begin() for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {200, 409}  # 409: it waited for too long
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert ids == {*await batches()}
    assert len(await batches()) == 1


async def test_another_request_with_the_key_is_refused(shop: Shop, begin: Begin) -> None:
    await begin()
    refused = await begin(metadata={"night": "2"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    body = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"idempotency-key": "nightly-1"}
    chat = await shop.client.post("/v1/chat/completions", json=body, headers=headers)
    assert (chat.status_code, chat.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(await batches()) == 1


@pytest.mark.parametrize("key", ["", "é", "x" * 256])
async def test_a_bad_key_is_refused(shop: Shop, begin: Begin, key: str) -> None:
    refused = await begin(headers={"idempotency-key": key.encode("latin-1")})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert await batches() == []


async def test_a_refused_request_leaves_its_key_free(
    shop: Shop, begin: Begin, settings: Any
) -> None:
    settings.BATCHES_UNDER_WAY = 0
    assert (await begin()).status_code == 429
    settings.BATCHES_UNDER_WAY = 1
    assert (await begin()).status_code == 200


async def test_commits_that_are_cut_off_create_one(
    shop: Shop, begin: Begin, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FAILOVER_WAIT_S = 20
    with commits_cut_off(monkeypatch):
        first = await begin()
        second = await begin()
    assert first.status_code == 200, first.text
    assert first.json()["id"] == second.json()["id"]
    assert len(await batches()) == 1


async def test_a_replay_needs_no_input_file(shop: Shop, begin: Begin) -> None:
    batch = (await begin()).json()
    await in_database(Batch.objects.update)(state=BatchState.COMPLETED, ended_at=timezone.now())
    deleted = await shop.client.delete(f"/v1/files/{batch['input_file_id']}")
    assert deleted.status_code == 200
    again = await begin()
    assert (again.status_code, again.json()["id"]) == (200, batch["id"])


async def test_a_key_that_another_holds_is_waited_for_briefly(
    shop: Shop, begin: Begin, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    monkeypatch.setattr(creation_key, "LOCK_S", 1)
    mine = {"tenant_id": shop.key.tenant_id, "owner": shop.key.pk}
    claim = Claim.of("nightly-1", "/v1/batches", {})
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute(
            "insert into inference_idempotencykey"
            " (tenant_id, owner, key, body, completion_id, created_at)"
            " values (%(tenant_id)s, %(owner)s, %(key)s, '', gen_random_uuid(), now())",
            mine | {"key": claim.key},
        )
        refused = await begin()
        await other.rollback()
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert (await begin()).status_code == 200


async def test_a_key_of_yesterday_is_free(shop: Shop, begin: Begin) -> None:
    await begin()
    a_day_ago = timezone.now() - timedelta(hours=25)
    await in_database(IdempotencyKey.objects.update)(created_at=a_day_ago)
    await begin()
    assert len(await batches()) == 2
    assert (await begin()).headers["x-forebay-replayed"] == "true"
    assert len(await batches()) == 2


async def test_another_api_key_has_keys_of_its_own(shop: Shop, begin: Begin) -> None:
    mine = (await begin()).json()["id"]
    tenant = await in_database(lambda: shop.key.tenant)()
    _key, secret = await in_database(ApiKey.issue)(tenant, "other", by="test")
    theirs = await begin(headers={"authorization": f"Bearer {secret}"})
    assert theirs.status_code == 404, "the file is of the first key"
    assert await batches() == [mine]


async def test_a_batch_that_is_gone_is_not_begun_again(shop: Shop, begin: Begin) -> None:
    await begin()
    await in_database(Batch.objects.all().delete)()
    gone = await begin()
    assert (gone.status_code, gone.json()["error"]["code"]) == (409, "idempotency_answer_gone")
