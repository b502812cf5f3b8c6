"""What a hit is bound by, and what never becomes one."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from redis import Redis

from audit.models import Event
from inference import engines
from inference.cache import levels
from inference.cache.levels import SecondLevel, prefix
from inference.intake import cache_lookup, cache_replay
from inference.intake.context import Context
from inference.models import Completion, PromptTemplate, Usage
from inference.templating.content import Content, TemplateMessage
from inference.templating.variables import Variable
from infrastructure.postgres.resilient_connection import ResilientConnection
from tenants.models import ApiKey, Quota, Tenant
from tests.audit.weak_line import through, weak_line_to_database
from tests.inference.api.conftest import client_of
from tests.inference.api.kept_answers import CHAT, NO_CACHE, ONLY, USE, ask, is_hit, said, usages
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

in_database = database_sync_to_async
pytestmark = pytest.mark.usefixtures("numbered")


def _id(answer: httpx.Response) -> UUID:
    return UUID(answer.headers["x-request-id"])


def _asked(engine: EngineServer, times: int) -> Callable[[], Any]:
    async def reached() -> bool:
        return len(engine.asked) >= times

    return reached


# On record ---------------------------------------------------------------------------------------
@in_database
def transactions_of(request_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(distinct xmin::text) from audit_event where request_id = %s", [request_id]
        )
        return int(cursor.fetchone()[0])


async def test_receipt_and_settlement_of_a_hit_are_one_commit(client: httpx.AsyncClient) -> None:
    """So nobody can die between them."""
    fresh, kept = await ask(client), await ask(client)
    assert is_hit(kept)
    assert await transactions_of(_id(fresh)) == 2
    assert await transactions_of(_id(kept)) == 1


@pytest.mark.parametrize("more", [{}, {"idempotency-key": "once"}])
async def test_others_are_settled_after_their_receipt(
    client: httpx.AsyncClient, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large request, and one with an Idempotency-Key, which has one answer."""
    if not more:
        monkeypatch.setattr(cache_replay, "LARGEST", 0)
    await ask(client)
    kept, again = [await ask(client, USE | more) for _ in range(2)]
    assert is_hit(kept)
    assert said(kept) == said(again)
    assert await transactions_of(_id(kept)) == 2
    assert (_id(kept) == _id(again)) == bool(more)
    usage = await in_database(Usage.objects.get)(pk=_id(kept))
    assert usage.cache == "l2"


async def test_what_a_quota_refuses_leaves_nothing(
    client: httpx.AsyncClient, acme: Tenant, context: Context
) -> None:
    await ask(client)
    quota = lambda: Quota.set(acme, unit="requests", window="day", limit=2, by="test")  # noqa: E731
    await in_database(quota)()
    answers = [await ask(client) for _ in range(3)]
    context.quotas.exhausted.__init__()  # type: ignore[misc]
    answers.append(await ask(client))
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429]
    assert await in_database(Completion.objects.filter(state="open").count)() == 0
    assert await in_database(Completion.objects.count)() == 2
    done = Event.objects.filter(action="completion:completed")
    assert await in_database(done.count)() == 2


async def test_hits_among_misses_have_their_own_verdicts(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    """Many in one group commit."""
    for n in range(4):
        await ask(client, text=f"question {n}")
    answers = await asyncio.gather(*(ask(client, text=f"question {n % 8}") for n in range(32)))
    assert {answer.status_code for answer in answers} == {200}
    ids = [_id(answer) for answer in answers]
    found = Usage.objects.filter(pk__in=ids)
    assert await in_database(found.count)() == len(set(ids)) == 32
    assert len(engine.asked) == 8


async def test_a_hit_that_cannot_be_settled_is_not_received(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(client)
    settled = cache_replay.CachedReplay.settled
    bad = lambda replay, cipher: settled(replay, cipher) | {"at": "no time"}  # noqa: E731
    monkeypatch.setattr(cache_replay.CachedReplay, "settled", bad)
    assert (await ask(client)).status_code == 503
    assert await in_database(Completion.objects.count)() == 1
    received = Event.objects.filter(action="completion:received")
    assert await in_database(received.count)() == 1
    monkeypatch.undo()
    assert is_hit(await ask(client))


async def test_a_hit_is_billed_where_it_is_given_and_nowhere_else(
    client: httpx.AsyncClient, context: Context, dsn: str
) -> None:
    """Its commit takes longer than a receipt may: it is waited for, since it is the bill too."""
    await ask(client), await ask(client)
    async with weak_line_to_database(dsn) as line:
        commits = context.commits.recorded_and_settled
        await commits._connection.close()
        commits._connection = ResilientConnection(through(line, dsn))
        assert is_hit(await ask(client))
        line.freeze()
        waits = asyncio.create_task(ask(client))
        await asyncio.sleep(0.1)
        behind = await ask(client)  # nothing of it has been sent
        assert behind.status_code == 503
        assert not waits.done()
        line.thaw()
        assert is_hit(await waits)
        assert is_hit(await ask(client))
    assert [row.cache for row in await usages()] == ["miss", "l2", "l1", "l1", "l1"]


# Limits ------------------------------------------------------------------------------------------
async def test_a_hit_counts_as_a_request(client: httpx.AsyncClient, acme: Tenant) -> None:
    await in_database(lambda: acme.change(by="test", requests_per_minute=4, burst=4))()
    await asyncio.sleep(0.6)
    statuses = [(await ask(client)).status_code for _ in range(6)]
    assert statuses[:3] == [200] * 3
    assert statuses[-1] == 429


async def test_a_key_that_may_not_use_the_model_gets_no_hit(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    await ask(client)
    async with await client_of(acme) as other:
        assert is_hit(await ask(other, ONLY))
        key = await in_database(lambda: ApiKey.objects.order_by("-created_at")[0])()
        await in_database(lambda: key.change(by="test", allowed_models=["large"]))()
        await asyncio.sleep(0.6)
        assert (await ask(other, ONLY)).json()["error"]["code"] == "model_not_found"


async def test_a_key_that_loses_the_model_while_it_waits_gets_nothing(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant
) -> None:
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    async with await client_of(acme) as other:
        second = asyncio.create_task(ask(other))
        await asyncio.sleep(0.2)
        key = await in_database(lambda: ApiKey.objects.order_by("-created_at")[0])()
        await in_database(lambda: key.change(by="test", allowed_models=["large"]))()
        await asyncio.sleep(1)
        engine.goes_on.set()
        assert (await second).status_code == 404
    assert is_hit(await first) is False


# What is no whole answer -------------------------------------------------------------------------
async def test_what_its_reader_broke_off_is_not_kept(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    gone = asyncio.create_task(ask(client, stream=True))
    await until(_asked(engine, 1))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    engine.goes_on.set()
    assert is_hit(await ask(client)) is False
    assert len(engine.asked) == 2


async def test_half_an_answer_is_not_kept(client: httpx.AsyncClient, engine: EngineServer) -> None:
    engine.breaks_off = True
    broken = await ask(client, stream=True)
    assert '"error"' in broken.text
    engine.breaks_off = False
    assert (await ask(client, ONLY)).status_code == 404
    assert is_hit(await ask(client)) is False


# Versions ----------------------------------------------------------------------------------------
async def test_what_a_version_answers_while_another_takes_its_place_is_not_kept(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    """It may be of the one or of the other."""
    (entry,) = engines.in_force().entries
    newer = replace(entry, fields={**entry.fields, "version": "2"})
    engine.goes_on.clear()
    asking = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    engines.put_in_force([newer])
    engine.goes_on.set()
    assert is_hit(await asking) is False
    assert (await ask(client, ONLY)).status_code == 404
    engines.put_in_force([entry])  # it is rolled back
    assert (await ask(client, ONLY)).status_code == 404
    assert is_hit(await ask(client, NO_CACHE)) is False
    assert is_hit(await ask(client, ONLY))


async def test_what_a_stale_worker_answers_is_not_kept(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    """Asked of the new version, and answered by the old one, which has not heard of it."""
    (entry,) = engines.in_force().entries
    engines.put_in_force([replace(entry, fields={**entry.fields, "version": "2"})])
    assert is_hit(await ask(client)) is False
    assert (await ask(client, ONLY)).status_code == 404


# In flight ---------------------------------------------------------------------------------------
async def test_whose_process_dies_holds_nobody_up(
    client: httpx.AsyncClient,
    context: Context,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(levels, "FLIGHT_MS", 400)
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    context.kept_answers.close()  # as if killed: nobody says any longer that it is in flight
    second = asyncio.create_task(ask(client))
    await until(_asked(engine, 2))
    engine.goes_on.set()
    assert {(await one).status_code for one in (first, second)} == {200}


async def test_who_lives_is_waited_for(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "FLIGHT_MS", 600)
    monkeypatch.setattr(cache_lookup, "SAY_S", 0.1)
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    second = asyncio.create_task(ask(client))
    await asyncio.sleep(1.5)
    engine.goes_on.set()
    assert said(await first) == said(await second)
    assert len(engine.asked) == 1


async def test_who_gives_up_lets_nobody_go_who_waits_for_another(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    gone = asyncio.create_task(ask(client, NO_CACHE))
    await until(_asked(engine, 2))
    second = asyncio.create_task(ask(client))
    await asyncio.sleep(0.2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.sleep(0.5)
    engine.goes_on.set()
    assert said(await first) == said(await second)
    assert len(engine.asked) == 2


async def test_where_an_answer_cannot_be_kept_nobody_waits_for_anothers(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    """All ask at once as soon as one knows, not one after the other."""
    engine.words = ["long " * 60_000]
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    others = [asyncio.create_task(ask(client)) for _ in range(5)]
    await asyncio.sleep(0.2)
    held, engine.goes_on = engine.goes_on, asyncio.Event()  # which the others wait for
    held.set()
    await first
    await until(_asked(engine, 6))  # while none of them has an answer
    later = asyncio.create_task(ask(client))
    await until(_asked(engine, 7))
    engine.goes_on.set()
    answers = await asyncio.gather(*others, later)
    assert {is_hit(answer) for answer in answers} == {False}


async def test_where_one_gives_up_one_of_the_others_asks(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    gone = asyncio.create_task(ask(client))
    await until(_asked(engine, 1))
    others = [asyncio.create_task(ask(client)) for _ in range(4)]
    await asyncio.sleep(0.2)
    gone.cancel()
    await until(_asked(engine, 2))
    engine.goes_on.set()
    assert len({said(answer) for answer in await asyncio.gather(*others)}) == 1
    assert len(engine.asked) == 2


async def test_nothing_is_kept_for_longer_than_it_may(
    client: httpx.AsyncClient, settings: Any, valkey: Redis, acme: Tenant
) -> None:
    """Nor is it in Redis: whatever happens."""
    settings.CACHE_TTL_S = 1
    await ask(client), await ask(client)
    assert is_hit(await ask(client, ONLY))  # of this process
    await asyncio.sleep(1.1)
    assert (await ask(client, ONLY)).status_code == 404
    assert not list(valkey.scan_iter(f"{prefix(acme.id)}:*"))


async def test_a_part_that_shrinks_is_emptied_step_by_step(valkey: Redis) -> None:
    """One script that dropped them all would hold up every queue."""
    keep = valkey.register_script(levels.KEEP.text)

    def kept(n: int, most: int) -> int:
        about = 60_000, most, "", "m", "", 0
        return int(keep(["cache:{x}"], [f"{n:064x}", b"x" * 10, *about]))

    for n in range(300):
        kept(n, 10_000)
    assert [kept(n, 20) for n in (1000, 1001)] == [0, 1]
    assert len(list(valkey.scan_iter("cache:{x}:e:*"))) == 2


# What costs nothing ------------------------------------------------------------------------------
async def test_who_asks_for_no_kept_answer_is_not_looked_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default: neither a look, nor a flight, nor a kept answer."""

    async def called(*_: Any, **__: Any) -> Any:
        raise AssertionError

    for name in ("get", "begin", "end", "still_in_flight"):
        monkeypatch.setattr(SecondLevel, name, called)
    for _ in range(2):
        answer = await ask(client, {})
        assert answer.status_code == 200
        assert "x-forebay-cache" not in answer.headers
    assert {row.cache for row in await usages()} == {""}


# The same ----------------------------------------------------------------------------------------
async def test_how_a_body_is_written_makes_no_other_request(client: httpx.AsyncClient) -> None:
    await ask(client, text="größe")
    escaped = (
        b'{"temperature":0.0,"messages":[{"content":"gr\\u00f6\\u00dfe","role":"user"}],\n'
        b'"model":"small","n":1}'
    )
    headers = {**ONLY, "content-type": "application/json"}
    assert is_hit(await client.post(CHAT, content=escaped, headers=headers))


async def test_a_filled_template_is_kept_like_what_it_makes(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    content = Content(
        messages=[TemplateMessage("user", "Greet {{who}}.")], variables=[Variable("who")]
    )
    await in_database(PromptTemplate.create)(acme, "greeting", content, by="test")

    async def greet(headers: dict[str, str], who: str) -> httpx.Response:
        about = {"template": "greeting", "variables": {"who": who}}
        body = {"model": "small", "temperature": 0, **about}
        return await client.post(CHAT, json=body, headers=headers)

    assert is_hit(await greet(USE, "Al")) is False
    assert is_hit(await greet(USE, "Al"))
    assert is_hit(await ask(client, ONLY, text="Greet Al."))
    assert (await greet(ONLY, "Bo")).status_code == 404
