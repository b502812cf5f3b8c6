"""Whoever has an account by somebody else's reset link reads nothing older with a rotated key."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from channels.db import database_sync_to_async
from django.utils import timezone

from inference.api import idempotency
from inference.errors import Conflict
from inference.intake.context import Context
from inference.intake.idempotency_claim import Claim
from inference.models import Completion, IdempotencyKey
from infrastructure.redis.link import RedisLink
from tenants.accounts import text_lock
from tenants.models import Link, Member, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import Role
from tests.inference.api import stream_readers
from tests.inference.api.stream_readers import issued, streamed
from tests.inference.callers import speaking
from tests.inference.web import served

in_database = database_sync_to_async
HOUR = timedelta(hours=1)
ROUTE = "/v1/chat/completions"
LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
context, alice = stream_readers.context, stream_readers.alice


@pytest.fixture
async def erin(acme: Tenant) -> Member:
    user = await in_database(User.objects.create_user)("erin@acme.example")
    member: Member = await in_database(acme.add_member)(user, Role.ADMIN)
    return member


@in_database
def lock(alice: Member, erin: Member) -> None:
    """As by a reset link that erin has made for alice."""
    url = Link.issue(Purpose.RESET, by=erin.actor, email=alice.user.email)
    link = Link.objects.get(email=alice.user.email)
    assert urlsplit(url).path
    text_lock.lock(alice.user, link)


def client_with(text: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
        base_url="http://forebay",
        headers={"Authorization": f"Bearer {text}"},
    )


async def test_streams_files_and_batches_stay_shut_until_the_lock_is_released(
    context: Context, link: RedisLink, acme: Tenant, alice: Member, erin: Member
) -> None:
    key, text = await issued(acme, alice)
    stream = await streamed(link, acme, api_key=key)
    async with client_with(text) as before:
        form = {"purpose": "batch", "expires_after[anchor]": "created_at"}
        form["expires_after[seconds]"] = "86400"
        uploaded = await before.post("/v1/files", data=form, files={"file": ("l.jsonl", LINE)})
        file = uploaded.json()["id"]
        about = {"input_file_id": file, "endpoint": ROUTE, "completion_window": "24h"}
        batch = (await before.post("/v1/batches", json=about)).json()["id"]
    paths = [
        f"/v1/completions/{stream}/events",
        f"/v1/files/{file}",
        f"/v1/files/{file}/content",
        f"/v1/batches/{batch}",
    ]

    async def statuses(text: str) -> set[int]:
        async with client_with(text) as client:
            return {(await client.get(path)).status_code for path in paths}

    async def listed(text: str) -> int:
        async with client_with(text) as client:
            answers = [await client.get(path) for path in ("/v1/files", "/v1/batches")]
            return sum(len(answer.json()["data"]) for answer in answers)

    await lock(alice, erin)
    _, fresh = await in_database(key.rotate)(by=alice.actor, overlap=HOUR)
    assert (await statuses(fresh), await listed(fresh)) == ({404}, 0)
    assert (await statuses(text), await listed(text)) == ({200}, 2), "its holder has the old text"
    await in_database(text_lock.release)(alice.user, by="test")
    assert (await statuses(fresh), await listed(fresh)) == ({200}, 2)


async def test_an_idempotency_key_replays_nothing_from_before_the_lock(
    context: Context, link: RedisLink, acme: Tenant, alice: Member, erin: Member
) -> None:
    key, _ = await issued(acme, alice)
    claim = Claim.of("k", ROUTE, {"messages": []})
    earlier = await streamed(link, acme, api_key=key)

    def used() -> None:
        row: dict[str, Any] = {
            "tenant": acme,
            "owner": key.pk,
            "key": claim.key,
            "body": claim.body,
        }
        row["created_at"] = timezone.now()
        IdempotencyKey.objects.create(completion_id=earlier, **row)

    await in_database(used)()
    fresh, _ = await in_database(key.rotate)(by=alice.actor, overlap=HOUR)
    replayed = await idempotency._look_up(speaking(fresh), claim)
    assert isinstance(replayed, Completion)
    await lock(alice, erin)
    with pytest.raises(Conflict, match="may not read the answer"):
        await idempotency._look_up(speaking(fresh), claim)
