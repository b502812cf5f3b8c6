"""The kept events of a stream are for whoever asked for it, and for nobody else in the tenant."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.utils import timezone

from audit.models import Event
from inference.api import stream_resumption
from inference.intake.context import Context
from inference.models import Completion, Usage
from inference.stream import cursor
from inference.stream.frames import Kind
from inference.stream.writer import Writer
from infrastructure.redis.link import RedisGone, RedisLink
from tenants.models import ApiKey, Member, Tenant
from tests.inference.api import stream_readers
from tests.inference.api.stream_readers import events, in_database, issued, streamed
from tests.inference.orders import a_frame, an_order
from tests.inference.web import current

context, alice = stream_readers.context, stream_readers.alice
HOUR = timedelta(hours=1)
ROUTE = "/v1/completions/{id}/events"


async def refused() -> Counter[tuple[str, str, str]]:
    """How often whom (actor), where (route), why (code); written once a second and more."""
    await current().refusals.flush()
    rows = await in_database(lambda: list(Event.objects.filter(action="access:denied")))()
    found = Counter[tuple[str, str, str]]()
    for event in rows:
        found[event.actor, event.route, event.error_code] += event.detail["count"]
    return found


def data_in(answer: httpx.Response) -> list[str]:
    return [line for line in answer.text.split("\n") if line.startswith("data")]


async def test_the_key_that_asked_reads_it(context: Context, link: RedisLink, acme: Tenant) -> None:
    key, text = await issued(acme)
    mine = await streamed(link, acme, api_key=key)
    answer = await events(text, mine)
    assert answer.status_code == 200
    assert data_in(answer) == ["data: 1", "data: 2", "data: 3"]
    assert not await refused()


async def test_a_stream_that_was_cancelled_while_it_waited_says_so(
    context: Context, acme: Tenant
) -> None:
    key, text = await issued(acme)
    now = timezone.now()
    ended = {"state": "cancelled", "created_at": now, "settled_at": now, "stream": True}
    row = {"tenant": acme, "model": "mock", "route": "/v1/chat/completions", "api_key": key}
    completion = await in_database(Completion.objects.create)(id=uuid4(), **row, **ended)
    answer = await events(text, completion.id)
    assert '"code":"cancelled"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("failed", 504, "aborted"),
        ("cancelled", 403, "cancelled_by_operator"),
        ("cancelled", 401, "access_revoked"),
    ],
)
async def test_one_that_ended_without_a_last_event_has_the_error_of_its_record(
    context: Context, acme: Tenant, state: str, status: int, code: str
) -> None:
    """Nobody told its readers, for its worker had died, or it had none yet."""
    key, text = await issued(acme)
    then = timezone.now() - timedelta(minutes=1)
    ended = {"state": state, "created_at": then, "settled_at": then, "stream": True}
    row = {"tenant": acme, "model": "mock", "route": "/v1/chat/completions", "api_key": key}
    completion = await in_database(Completion.objects.create)(id=uuid4(), **row, **ended)
    figures = {"prompt_tokens": 0, "completion_tokens": 0, "duration_ms": 9, "status": status}
    words = {"finish_reason": "error", "error_code": code, "model": "mock", "created_at": then}
    await in_database(Usage.objects.create)(completion=completion, tenant=acme, **figures, **words)
    answer = await events(text, completion.id)
    assert f'"code":"{code}"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_last_event_that_leaves_while_its_record_is_read_arrives(
    context: Context, link: RedisLink, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves after the record: a reader who sees the record first waits for it."""
    key, text = await issued(acme)
    order, writer = an_order(id=uuid4(), tenant_id=acme.id), Writer(link)
    now, route = timezone.now(), "/v1/chat/completions"
    ended = {"state": "done", "created_at": now, "settled_at": now, "stream": True}
    row = {"id": order.id, "tenant": acme, "model": "mock", "route": route, "api_key": key}
    await in_database(Completion.objects.create)(**row, **ended)
    recorded_end = stream_resumption._end_of

    async def end_before_the_last_event(completion: Completion) -> tuple[int, bytes] | None:
        end = await recorded_end(completion)
        writer.put(order, a_frame(3, 3, of=order.id, kind=Kind.END))
        await writer.drained()
        return end

    monkeypatch.setattr(stream_resumption, "_end_of", end_before_the_last_event)
    monkeypatch.setattr(cursor, "QUIET_S", 0.05)
    writer.put(order, a_frame(1, 2, of=order.id))
    await writer.drained()
    answer = await events(text, order.id)
    assert data_in(answer) == ["data: 1", "data: 2", "data: 3"]


async def test_an_outage_of_redis_delays_a_reader_and_ends_no_stream(
    context: Context, link: RedisLink, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await issued(acme)
    mine = await streamed(link, acme, api_key=key)
    call, outage = context.redis.call, iter(range(2))

    async def away_at_first(*words: Any) -> Any:
        if next(outage, None) is not None:
            raise RedisGone
        return await call(*words)

    monkeypatch.setattr(stream_resumption, "AGAIN_S", 0.05)
    monkeypatch.setattr(context.redis, "call", away_at_first)
    answer = await events(text, mine)
    assert data_in(answer) == ["data: 1", "data: 2", "data: 3"]


async def test_a_long_outage_of_redis_ends_it_with_an_error_that_says_so(
    context: Context, link: RedisLink, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await issued(acme)
    mine = await streamed(link, acme, api_key=key)

    async def away(*_: Any) -> Any:
        raise RedisGone

    monkeypatch.setattr(stream_resumption, "AGAIN_S", 0.05)
    monkeypatch.setattr(stream_resumption, "TRIES", 2)
    monkeypatch.setattr(context.redis, "call", away)
    answer = await events(text, mine)
    assert '"code":"server_overloaded"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(("settled_s", "last"), [(1, "data: 3"), (60, "data: [DONE]")])
async def test_a_last_event_may_come_seconds_after_the_record_but_not_a_minute(
    context: Context,
    link: RedisLink,
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    settled_s: int,
    last: str,
) -> None:
    """A worker hears late of its commit while PostgreSQL's primary changes."""
    monkeypatch.setattr(cursor, "QUIET_S", 0.05)
    key, text = await issued(acme)
    order, writer = an_order(id=uuid4(), tenant_id=acme.id), Writer(link)
    now, route = timezone.now(), "/v1/chat/completions"
    times = {"created_at": now, "settled_at": now - timedelta(seconds=settled_s)}
    row = {"id": order.id, "tenant": acme, "model": "mock", "route": route, "api_key": key}
    await in_database(Completion.objects.create)(**row, **times, state="done", stream=True)
    writer.put(order, a_frame(1, 2, of=order.id))
    await writer.drained()
    reading = asyncio.create_task(events(text, order.id))
    await asyncio.sleep(1)
    writer.put(order, a_frame(3, 3, of=order.id, kind=Kind.END))
    await writer.drained()
    assert data_in(await reading)[-1] == last


async def test_another_key_of_the_tenant_does_not_and_its_tries_are_on_record(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    """Not even one that the same person has made: another program holds it."""
    key, _ = await issued(acme, alice)
    other, text = await issued(acme, alice)
    theirs = await streamed(link, acme, api_key=key)
    answers = [await events(text, theirs) for _ in range(3)]
    answers.append(await events(text, uuid4()))
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1, "who asks learns that there is one"
    assert await refused() == {(other.actor, ROUTE, "stream_not_found"): 4}


async def test_a_rotated_key_and_its_successor_read_each_others(
    context: Context, link: RedisLink, acme: Tenant
) -> None:
    first, first_text = await issued(acme)
    second, second_text = await in_database(first.rotate)(by="test", overlap=HOUR)
    third, third_text = await in_database(second.rotate)(by="test", overlap=HOUR)
    for key in (first, second, third):
        kept = await streamed(link, acme, api_key=key)
        for text in (first_text, second_text, third_text):
            assert (await events(text, kept)).status_code == 200
    _, stranger = await issued(acme)
    assert (await events(stranger, kept)).status_code == 404


async def test_who_rotates_somebody_elses_key_does_not_read_what_it_had_asked_for(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    key, text = await issued(acme)
    before = await streamed(link, acme, api_key=key)
    fresh, fresh_text = await in_database(key.rotate)(by=alice.actor, overlap=HOUR)
    after = await streamed(link, acme, api_key=fresh)
    assert (await events(fresh_text, before)).status_code == 404
    assert (await events(fresh_text, after)).status_code == 200
    assert (await events(text, after)).status_code == 200


async def test_nor_where_nobody_wrote_down_who_was_shown_a_key(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    """Keys of earlier versions name those on whom they depend, and nobody who holds them."""
    key, _ = await issued(acme)
    before = await streamed(link, acme, api_key=key)
    _, fresh_text = await in_database(key.rotate)(by=alice.actor, overlap=HOUR)
    await in_database(ApiKey.objects.update)(holders=[])
    assert (await events(fresh_text, before)).status_code == 404


async def test_nor_after_having_widened_it(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    """Widening makes somebody a grantor of the old key, and shows them no text of it."""
    key, _ = await issued(acme)
    await in_database(key.change)(by=alice.actor, requests_per_minute=5)
    await in_database(key.change)(by=alice.actor, requests_per_minute=6)
    before = await streamed(link, acme, api_key=key)
    fresh, fresh_text = await in_database(key.rotate)(by=alice.actor, overlap=HOUR)
    assert fresh.grantors == [alice.actor]
    assert (await events(fresh_text, before)).status_code == 404
    newest, newest_text = await in_database(fresh.rotate)(by=alice.actor, overlap=HOUR)
    own = await streamed(link, acme, api_key=fresh)
    assert (await events(newest_text, own)).status_code == 200


async def test_a_key_that_a_key_has_made_is_its_holders(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    """Who has widened the key that made it has not seen either text."""
    parent, _ = await issued(acme)
    await in_database(parent.change)(by=alice.actor, requests_per_minute=5)
    await in_database(parent.change)(by=alice.actor, requests_per_minute=6)
    child, _ = await in_database(ApiKey.issue)(acme, "child", by=parent.actor)
    before = await streamed(link, acme, api_key=child)
    _, fresh_text = await in_database(child.rotate)(by=alice.actor, overlap=HOUR)
    assert (await events(fresh_text, before)).status_code == 404


async def test_a_chats_stream_is_not_read_over_v1(
    context: Context, link: RedisLink, acme: Tenant, alice: Member
) -> None:
    """Not by a key that the person who chats has made, either."""
    _, text = await issued(acme, alice)
    chat = await streamed(link, acme, member=alice)
    assert (await events(text, chat)).status_code == 404
    assert [code for _, _, code in await refused()] == ["stream_not_found"]
