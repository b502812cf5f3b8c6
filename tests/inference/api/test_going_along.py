"""Streams of one request asked for at once: one runs, the others get its events as they come."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID, uuid4

import httpx
import pytest
from channels.db import database_sync_to_async

from audit.keys.keyring import Unreadable
from audit.trail.group_commit import StoreUnavailable
from inference.cache.flights import leader, word
from inference.intake import kept_answers, shared_answer
from inference.intake.context import Context
from inference.models import Completion, Usage
from inference.queue.client import client as redis_client
from inference.record import goes_along
from inference.stream import frames
from inference.worker import restoring
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tests.inference.api.test_kept_answers import (
    USE,
    ask,
    numbered,  # noqa: F401
    said,
    usages,
)
from tests.inference.engine_server import EngineServer
from tests.inference.orders import an_order
from tests.inference.running import until

in_database = database_sync_to_async
TEXT = "One two three #1"


def _asked(engine: EngineServer, times: int) -> Callable[[], Any]:
    async def reached() -> bool:
        return len(engine.asked) >= times

    return reached


async def started(engine: EngineServer, client: httpx.AsyncClient, n: int, **more: Any) -> Any:
    """The one that asks the engine, and `n` that go along with it."""
    first = asyncio.create_task(ask(client, stream=True))
    await until(_asked(engine, 1))
    others = [asyncio.create_task(ask(client, stream=True, **more)) for _ in range(n)]
    await until(on_record(n + 1))
    return first, others


def on_record(n: int) -> Callable[[], Any]:
    async def so() -> bool:
        return await in_database(Completion.objects.count)() >= n

    return so


async def given(context: Context) -> list[int]:
    """Bytes of the events that each request has, the oldest first."""
    ids = await in_database(
        lambda: list(Completion.objects.order_by("created_at").values_list("id", flat=True))
    )()
    names = [frames.history(one.bytes) for one in ids]
    kept = [await context.redis.call("XRANGE", name, "-", "+") for name in names]
    found = zip(names, kept, strict=True)
    return [
        sum(
            len(f.body) for _, fields in entries for f in frames.decrypted(fields[1], name.encode())
        )
        for name, entries in found
    ]


async def test_they_get_the_events_as_they_come(
    client: httpx.AsyncClient, engine: EngineServer, context: Context
) -> None:
    """Who comes in the middle begins with the first one; each has its own usage and record."""
    engine.second_half.clear()
    told = {"stream_options": {"include_usage": True}}
    first, others = await started(engine, client, 2, **told)

    async def all_have_some() -> bool:
        return all(await given(context))

    await until(all_have_some)
    late = asyncio.create_task(ask(client, stream=True))
    await until(on_record(4))
    await until(all_have_some)
    assert not any(one.done() for one in (first, late, *others))
    engine.second_half.set()
    answers = await asyncio.gather(first, *others, late)
    assert {said(answer) for answer in answers} == {TEXT}
    assert len(engine.asked) == 1
    assert sorted(row.cache for row in await usages()) == ["miss", "shared", "shared", "shared"]
    counts = {(row.prompt_tokens, row.completion_tokens) for row in await usages()}
    assert counts == {(7, 3)}
    for answer in answers:
        request_id = UUID(answer.headers["x-request-id"])
        assert f"chatcmpl-{request_id.hex}" in answer.text
        assert answer.text.count('"id":"chatcmpl-') == answer.text.count(request_id.hex)
        assert answer.text.rstrip().endswith("data: [DONE]")
        numbers = [line for line in answer.text.split("\n") if line.startswith("id: ")]
        assert numbers == [f"id: {n}" for n in range(1, len(numbers) + 1)]
    assert ['"cached_tokens":7' in answer.text for answer in answers] == [False, True, True, False]
    states = Completion.objects.values_list("state", flat=True)
    assert set(await in_database(lambda: list(states))()) == {"done"}


async def test_when_the_first_one_gives_up_one_of_them_asks(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    first, others = await started(engine, client, 3)
    first.cancel()
    await until(_asked(engine, 2))
    engine.goes_on.set()
    assert len({said(answer) for answer in await asyncio.gather(*others)}) == 1
    assert len(engine.asked) == 2
    states = await in_database(lambda: list(Completion.objects.values_list("state", flat=True)))()
    assert sorted(states) == ["cancelled", "done", "done", "done"]


async def test_who_goes_leaves_the_others_alone_and_pays_for_what_it_got(
    client: httpx.AsyncClient, engine: EngineServer, context: Context
) -> None:
    engine.second_half.clear()
    first, (gone, stays) = await started(engine, client, 2)

    async def all_have_some() -> bool:
        return all(await given(context))

    await until(all_have_some)
    gone.cancel()

    async def is_settled() -> Usage | None:
        return await in_database(Usage.objects.first)()

    row = await until(is_settled)
    assert (row.status, row.cache, row.prompt_tokens) == (499, "shared", 0)
    engine.second_half.set()
    assert {said(await one) for one in (first, stays)} == {TEXT}
    assert len(engine.asked) == 1


async def test_who_is_erased_meanwhile_is_settled_without_text(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.goes_on.clear()
    first, (gone,) = await started(engine, client, 1)
    erased = Mock(of_subject=AsyncMock(side_effect=Unreadable))
    monkeypatch.setattr(shared_answer, "keyring", erased)
    gone.cancel()

    async def is_settled() -> Usage | None:
        return await in_database(Usage.objects.first)()

    row = await until(is_settled)
    assert (row.status, row.cache) == (499, "shared")
    engine.goes_on.set()
    assert said(await first) == TEXT


async def test_when_the_first_one_breaks_off_they_end_clearly(
    client: httpx.AsyncClient, engine: EngineServer, context: Context
) -> None:
    """This kind of engine cannot go on from a text: nobody gets the half for a whole."""
    engine.second_half.clear()
    first, (other,) = await started(engine, client, 1)

    async def all_have_some() -> bool:
        return all(await given(context))

    await until(all_have_some)
    first.cancel()
    answer = await other
    assert '"code":"worker_lost"' in answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    engine.second_half.set()
    assert len(engine.asked) == 1

    async def both_ended() -> bool:
        return len(await usages()) == 2

    await until(both_ended)
    assert sorted(row.status for row in await usages()) == [499, 502]


async def test_whose_process_dies_a_runner_goes_on_with(
    client: httpx.AsyncClient, engine: EngineServer, context: Context, pool: str
) -> None:
    """As the sweeper does with what no queue has, once nobody says that it goes along."""
    engine.goes_on.clear()
    first, (other,) = await started(engine, client, 1)
    (request_id,) = context.cancellation.going_along
    along: Any = context.cancellation.going_along[request_id]
    along.__self__._task.cancel()
    redis_client.cache_clear()
    await in_database(restoring.enqueue_again)(pool, request_id)
    await until(_asked(engine, 2))
    engine.goes_on.set()
    assert {said(await first), said(await other)} == {"One two three #2"}
    assert sorted(row.cache for row in await usages()) == ["miss", "miss"]


async def test_no_queue_takes_them_while_their_process_lives(context: Context) -> None:
    along, lost = uuid4(), uuid4()
    await goes_along.say(context.redis, along)
    redis_client.cache_clear()
    assert await in_database(goes_along.without_these)([along, lost]) == [lost]


@pytest.mark.unit
def test_a_word_leads_nobody_to_anothers_request() -> None:
    order = an_order(cached=b"n" * 40)
    told = word(order).encode()
    found = leader(told, order.cached)
    assert found
    assert (found.id, found.streams) == (order.id, True)
    assert leader(told, b"m" * 40) is None
    for bad in (b"", b"alone", b"zz", told[:-2], told + b"00", b"00" + told[2:]):
        assert leader(bad, order.cached) is None


async def test_who_resumes_such_a_stream_has_its_events(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    first, (other,) = await started(engine, client, 1)
    engine.goes_on.set()
    await first
    answer = await other
    path = f"/v1/completions/{answer.headers['x-request-id']}/events"
    again = await client.get(path, headers={**USE, "last-event-id": "1"})
    assert again.status_code == 200, again.text
    assert again.text.split("id: 2", 1)[1] == answer.text.split("id: 2", 1)[1]


async def test_nobody_waits_for_one_of_a_lower_class(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant
) -> None:
    """It may stand in its queue until the night, and be parked on the way."""
    engine.goes_on.clear()
    _, text = await in_database(ApiKey.issue)(
        acme, "nightly", by="test", scopes=[Scope.INFERENCE, Scope.BATCH]
    )
    own = USE | {"authorization": f"Bearer {text}", "x-forebay-class": "batch"}
    nightly = asyncio.create_task(ask(client, own, stream=True))
    await until(_asked(engine, 1))
    urgent = asyncio.create_task(ask(client, stream=True))
    await until(_asked(engine, 2))
    engine.goes_on.set()
    assert all([said(await one) for one in (nightly, urgent)])


async def test_who_is_one_too_many_waits_for_the_whole_answer(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "MOST_ALONG", 1)
    engine.goes_on.clear()
    first, (along,) = await started(engine, client, 1)
    waits = asyncio.create_task(ask(client, stream=True))
    engine.goes_on.set()
    assert {said(await one) for one in (first, along, waits)} == {TEXT}
    assert len(engine.asked) == 1


async def test_one_whose_end_cannot_be_put_on_record_has_no_end(
    client: httpx.AsyncClient,
    context: Context,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine.second_half.clear()
    first, (other,) = await started(engine, client, 1)

    async def away(_row: Any) -> Any:
        raise StoreUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(context.settled, "write", away)  # the runner's is another one
    engine.second_half.set()
    assert '"finish_reason":"stop"' in (await first).text
    answer = (await other).text
    assert '"code":"not_recorded"' in answer
    assert '"finish_reason":"stop"' not in answer
    assert len(await usages()) == 1
