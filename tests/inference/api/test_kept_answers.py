"""Kept answers: to the same request of the same tenant, on record like any other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.utils import timezone
from redis import Redis

from audit.erasure import erasers
from audit.keys import keyring as keys
from audit.models import Event, Payload
from audit.trail.group_commit import StoreUnavailable
from inference import engines
from inference.cache import stored_answers
from inference.cache.levels import prefix
from inference.intake import draft
from inference.intake.cache_replay import LARGEST
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused
from inference.models import Completion, Usage
from tenants.key_scopes import Scope
from tenants.models import ApiKey, CacheRule, LedgerEntry, Price, Tenant
from tests.inference.api.conftest import client_of
from tests.inference.api.kept_answers import (
    NO_CACHE,
    NO_STORE,
    ONLY,
    USE,
    ask,
    in_database,
    is_hit,
    said,
    usages,
)
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

pytestmark = pytest.mark.usefixtures("numbered")


# What is kept ------------------------------------------------------------------------------------
async def test_the_same_request_has_the_same_answer_and_a_record_of_its_own(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    first, again = await ask(client), await ask(client, top_p=1.0)
    assert (is_hit(first), is_hit(again)) == (False, True)
    assert said(first) == said(again) == "One two three #1"
    assert len(engine.asked) == 1
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert again.json()["id"] == f"chatcmpl-{UUID(again.headers['x-request-id']).hex}"
    assert again.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 7}
    await on_record(UUID(again.headers["x-request-id"]))
    assert [row.cache for row in await usages()] == ["miss", "l2"]
    assert is_hit(await ask(client))
    assert [row.cache for row in await usages()][-1] == "l1"


@in_database
def on_record(request_id: UUID) -> None:
    """Both events, both texts, a usage row, and the ledger's two entries."""
    completion = Completion.objects.get(pk=request_id)
    assert completion.state == "done"
    actions = Event.objects.filter(request_id=request_id).order_by("id")
    assert [e.action for e in actions] == ["completion:received", "completion:completed"]
    assert [e.upstream for e in actions] == ["", "cache"]
    fields = Payload.objects.filter(request_id=request_id).values_list("field", flat=True)
    assert set(fields) == {"request", "response"}
    usage = Usage.objects.get(completion=completion)
    counts = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    assert (counts, usage.cache) == ((7, 7, 3), "l2")
    kinds = LedgerEntry.objects.filter(request_id=request_id).values_list("kind", flat=True)
    assert set(kinds) == {"reserve", "settle"}


async def test_a_stream_is_kept_and_replayed_as_a_stream(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    first = await ask(client, stream=True)
    again = await ask(client, stream=True, stream_options={"include_usage": True})
    whole = await ask(client)
    assert {said(first), said(again), said(whole)} == {"One two three #1"}
    assert again.text.rstrip().endswith("data: [DONE]")
    assert '"finish_reason":"stop"' in again.text
    assert '"cached_tokens":7' in again.text
    assert '"usage"' not in first.text
    assert [is_hit(one) for one in (first, again, whole)] == [False, True, True]
    assert len(engine.asked) == 1


async def test_a_stream_of_a_kept_answer_is_read_again_like_any_other(
    client: httpx.AsyncClient,
) -> None:
    await ask(client, stream=True)
    kept = await ask(client, stream=True, stream_options={"include_usage": True})
    assert is_hit(kept)
    path = f"/v1/completions/{kept.headers['x-request-id']}/events"
    assert (await client.get(path)).text == kept.text
    rest = await client.get(path, headers={"Last-Event-ID": "1"})
    assert rest.text == kept.text[kept.text.index("id: 2\n") :]
    await in_database(Completion.objects.update)(settled_at=timezone.now() - timedelta(minutes=3))
    assert '"code":"stream_expired"' in (await client.get(path)).text


async def test_a_kept_answer_costs_what_cached_tokens_cost(client: httpx.AsyncClient) -> None:
    await in_database(lambda: Price.set("small", "2", "0.5", "8", by="test"))()
    await asyncio.sleep(1.1)  # prices hold within a second
    await ask(client), await ask(client)
    fresh, kept = await usages()
    assert (fresh.cost, kept.cost) == (7 * 2 + 3 * 8, (7 + 3) // 2)


async def test_a_hit_holds_no_slot_and_no_tokens(client: httpx.AsyncClient, acme: Tenant) -> None:
    await in_database(lambda: acme.change(by="test", max_concurrency=1, tokens_per_minute=2000))()
    await asyncio.sleep(0.6)

    async def through() -> bool:
        return (await ask(client)).status_code == 200

    for _ in range(8):
        await until(through)
    assert len({row.cache for row in await usages()} - {"miss", "l1", "l2"}) == 0


# What is not -------------------------------------------------------------------------------------
async def test_who_does_not_ask_for_it_gets_a_fresh_one(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    await ask(client)
    plain = await ask(client, {})
    assert (is_hit(plain), said(plain)) == (None, "One two three #2")
    unsure = await ask(client, temperature=0.5)
    assert (is_hit(unsure), said(unsure)) == (None, "One two three #3")
    seeded = [await ask(client, temperature=0.5, seed=3) for _ in range(2)]
    assert [is_hit(one) for one in seeded] == [False, True]
    assert [row.cache for row in await usages()] == ["miss", "", "", "miss", "l2"]


async def test_the_words_of_the_header(client: httpx.AsyncClient, engine: EngineServer) -> None:
    none = await ask(client, ONLY)
    assert (none.status_code, none.json()["error"]["code"]) == (404, "not_cached")
    assert not await usages()
    assert said(await ask(client, NO_STORE)) == "One two three #1"
    assert (await ask(client, ONLY)).status_code == 404
    assert said(await ask(client, NO_CACHE)) == "One two three #2"
    assert said(await ask(client, ONLY)) == "One two three #2"
    assert said(await ask(client, NO_CACHE)) == "One two three #3"
    assert (await ask(client, ONLY, temperature=1)).status_code == 404
    wrong = await ask(client, {"x-forebay-cache": "please"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "x-forebay-cache")


async def test_who_finds_no_kept_one_is_counted_like_who_is_refused(
    client: httpx.AsyncClient, context: Context, acme: Tenant
) -> None:
    for temperature in (0, 0, 1):
        assert (await ask(client, ONLY, temperature=temperature)).status_code == 404
    await context.refusals.flush()
    found = Event.objects.filter(
        tenant_id=acme.id, action="request:refused", error_code="not_cached"
    )
    told = await in_database(lambda: list(found))()
    assert {(one.status, one.success) for one in told} == {(404, False)}
    assert sum(one.detail["count"] for one in told) == 3


async def test_rules_say_what_is_kept_without_a_word(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    """The narrowest decides."""
    key = await in_database(ApiKey.objects.get)()

    async def rule(on: bool, **scope: Any) -> None:
        await in_database(lambda: CacheRule.set(acme, on=on, by="test", **scope))()

    async def holds(expected: bool | None) -> None:
        async def so() -> bool:
            return is_hit(await ask(client, {}, text=uuid4().hex)) is expected

        await until(so)

    await rule(on=True)
    await holds(False)
    await rule(on=False, model="small")
    await holds(None)
    assert is_hit(await ask(client, USE)) is None  # what is off nobody switches on
    await rule(on=True, api_key=key)
    await holds(False)
    assert is_hit(await ask(client, NO_STORE)) is None
    await rule(on=False, api_key=key, model="small")
    await holds(None)
    rules = Event.objects.filter(action="cache:rule")
    assert await in_database(rules.count)() == 4


async def test_failures_and_long_answers_are_not_kept(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.status = 400
    assert (await ask(client)).status_code == 400
    engine.status = 200
    engine.words = ["long " * 60_000]
    assert is_hit(await ask(client)) is False
    assert is_hit(await ask(client)) is False


async def test_another_version_of_the_model_answers_anew(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    await ask(client)
    (entry,) = engines.in_force().entries
    newer = replace(entry, fields={**entry.fields, "model": "small-2"})
    engines.put_in_force([newer])
    assert is_hit(await ask(client)) is False


# Apart -------------------------------------------------------------------------------------------
@pytest.fixture
async def stranger(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    """globex's."""
    globex = await in_database(Tenant.open)("globex", by="test")
    async with await client_of(globex) as asking:
        yield asking


async def test_no_tenant_gets_anothers_or_learns_that_it_is_there(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, engine: EngineServer
) -> None:
    await ask(client)
    assert is_hit(await ask(client))
    assert (await ask(stranger, ONLY)).status_code == 404
    fresh = await ask(stranger)
    assert (is_hit(fresh), said(fresh)) == (False, "One two three #2")


async def test_what_somebody_did_to_it_in_redis_is_a_miss(
    client: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    context: Context,
    valkey: Redis,
    acme: Tenant,
) -> None:
    """Bit flips, cut ends, entries of another request and of another tenant."""
    await ask(client), await ask(client, text="other"), await ask(stranger)
    globex = await in_database(Tenant.objects.get)(name="globex")
    mine, other = sorted(valkey.scan_iter(f"{prefix(acme.id)}:e:*"))
    (theirs,) = valkey.scan_iter(f"{prefix(globex.id)}:e:*")
    good: Any = {key: valkey.get(key) for key in (mine, other, theirs)}
    flipped = [_flipped(good[mine], at) for at in (0, 15, 16, 40, -1)]
    for bad in (*flipped, good[mine][:30], b"", b"x", good[other], good[theirs]):
        valkey.set(mine, bad)
        valkey.set(other, bad if bad is not good[other] else good[mine])
        context.kept_answers.first.__init__()  # type: ignore[misc]
        for text in ("hi", "other"):
            answer = await ask(client, ONLY, text=text)
            assert answer.status_code == 404, bad
    valkey.set(mine, good[mine])
    valkey.set(other, good[other])
    assert is_hit(await ask(client, ONLY))


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


async def test_keys_of_another_kind_are_a_miss_too(
    client: httpx.AsyncClient, context: Context, valkey: Redis, acme: Tenant
) -> None:
    await ask(client)
    keys = [*valkey.scan_iter(f"{prefix(acme.id)}:*")]
    (entry,) = (key for key in keys if b":e:" in key)
    name = entry.rpartition(b":")[2].decode()
    for key in (*keys, f"{prefix(acme.id)}:f:{name}"):
        valkey.delete(key)
        valkey.rpush(key, b"x")
    valkey.delete(f"{prefix(acme.id)}:f:{name}")
    for _ in range(2):
        assert is_hit(await ask(client)) is False


async def test_nothing_of_it_is_in_clear(client: httpx.AsyncClient, valkey: Redis) -> None:
    await ask(client, text="a-canary")
    dump = b"".join(valkey.dump(key) or b"" for key in valkey.scan_iter("cache:*"))
    assert dump
    assert b"canary" not in dump
    assert b"three" not in dump


# In flight ---------------------------------------------------------------------------------------
async def test_of_many_in_flight_one_asks_the_engine(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    asking = [asyncio.create_task(ask(client)) for _ in range(6)]
    await until(lambda: _of(engine.asked))
    await asyncio.sleep(0.3)
    engine.goes_on.set()
    answers = await asyncio.gather(*asking)
    assert {said(answer) for answer in answers} == {"One two three #1"}
    assert sorted(row.cache for row in await usages()) == ["miss"] + 5 * ["shared"]
    assert len(engine.asked) == 1


async def _of(requests: Any) -> Any:
    return requests


async def test_a_stream_waits_for_no_identical_request(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    asking = [asyncio.create_task(ask(client, stream=True)) for _ in range(2)]
    await until(lambda: _reached(engine, 2))
    engine.goes_on.set()
    answers = await asyncio.gather(*asking)
    assert all(said(answer).startswith("One two three") for answer in answers)
    assert [is_hit(answer) for answer in answers] == [False, False]
    assert is_hit(await ask(client)), "one of the two answers is kept"


async def test_no_request_waits_for_one_of_a_lower_class(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant
) -> None:
    """The lower one may wait for the night window, and be parked on the way."""
    engine.goes_on.clear()
    scopes = [Scope.INFERENCE, Scope.BATCH]
    _, text = await in_database(ApiKey.issue)(acme, "nightly", by="test", scopes=scopes)
    headers = USE | {"authorization": f"Bearer {text}", "x-forebay-class": "batch"}
    nightly = asyncio.create_task(ask(client, headers))
    await until(lambda: _reached(engine, 1))
    urgent = asyncio.create_task(ask(client))
    await until(lambda: _reached(engine, 2))
    engine.goes_on.set()
    assert all([said(await one) for one in (nightly, urgent)])


async def _reached(engine: EngineServer, requests: int) -> bool:
    return len(engine.asked) >= requests


async def test_who_looked_too_early_finds_what_was_kept_meanwhile(
    client: httpx.AsyncClient,
    context: Context,
    engine: EngineServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would begin a flight of its own, since the first one is over."""
    look = context.kept_answers._look

    async def early(order: Any) -> Any:
        found = await look(order)
        monkeypatch.setattr(context.kept_answers, "_look", look)
        assert is_hit(await ask(client)) is False
        return found

    monkeypatch.setattr(context.kept_answers, "_look", early)
    assert is_hit(await ask(client))
    assert len(engine.asked) == 1
    assert is_hit(await ask(client, NO_CACHE)) is False
    assert is_hit(await ask(client))  # nobody waits for a flight that is none


async def test_who_waits_asks_when_the_first_one_fails(
    client: httpx.AsyncClient, engine: EngineServer
) -> None:
    engine.goes_on.clear()
    engine.status = 400
    first = asyncio.create_task(ask(client))
    await until(lambda: _of(engine.asked))
    second = asyncio.create_task(ask(client))
    await asyncio.sleep(0.2)
    engine.goes_on.set()
    assert (await first).status_code == 400
    engine.status = 200
    answered = await second
    assert answered.status_code in (200, 400)  # it asked by itself
    assert len(engine.asked) == 2


async def test_a_key_that_is_revoked_while_it_waits_gets_nothing(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant
) -> None:
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(lambda: _of(engine.asked))
    async with await client_of(acme) as other:
        second = asyncio.create_task(ask(other))
        await asyncio.sleep(0.2)
        key = await in_database(lambda: ApiKey.objects.order_by("-created_at")[0])()
        await in_database(lambda: key.revoke(by="test"))()
        await asyncio.sleep(1)
        engine.goes_on.set()
        assert (await second).status_code == 401
    assert (await first).status_code == 200
    assert len(await usages()) == 1


@pytest.mark.parametrize(
    "narrowed",
    [
        {"allowed_models": ["large"]},
        {"allowed_networks": ["192.0.2.0/24"]},
        {"scopes": ["management:read"]},
    ],
    ids=lambda narrowed: next(iter(narrowed)),
)
async def test_a_key_that_is_restricted_while_it_waits_gets_nothing(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant, narrowed: dict[str, Any]
) -> None:
    """It still opens, but no longer for this request."""
    engine.goes_on.clear()
    first = asyncio.create_task(ask(client))
    await until(lambda: _of(engine.asked))
    async with await client_of(acme) as other:
        second = asyncio.create_task(ask(other))
        await asyncio.sleep(0.2)
        key = await in_database(lambda: ApiKey.objects.order_by("-created_at")[0])()
        await in_database(lambda: key.change(by="test", **narrowed))()
        await asyncio.sleep(1)
        engine.goes_on.set()
        answer = await second
    assert answer.status_code in (403, 404)
    assert "three" not in answer.text
    assert (await first).status_code == 200
    assert len(await usages()) == 1


# Without a record --------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("why", ["it has an idempotency key", "it is large"])
async def test_a_kept_answer_whose_settlement_fails_is_not_given_out(
    client: httpx.AsyncClient,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
    stream: bool,
) -> None:
    """Such a request is received in one commit and settled in a second one."""
    text = "hi" if "key" in why else "x" * LARGEST
    await ask(client, text=text)

    async def away(_row: Any) -> Any:
        raise StoreUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(context.commits.settled, "write", away)
    headers = {**USE, **({"Idempotency-Key": "k"} if "key" in why else {})}
    answer = await ask(client, headers, text=text, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_recorded")
    assert "three" not in answer.text
    assert len(await usages()) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_kept_answer_that_is_not_received_is_not_given_out(
    client: httpx.AsyncClient, context: Context, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """It is received and settled in one commit."""
    await ask(client)

    async def away(_row: Any) -> Any:
        raise StoreUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(context.commits.recorded_and_settled, "write", away)
    answer = await ask(client, stream=stream)
    assert answer.status_code == 503
    assert "three" not in answer.text
    assert len(await usages()) == 1


# Gone --------------------------------------------------------------------------------------------
async def test_it_goes_with_its_person(
    client: httpx.AsyncClient, engine: EngineServer, acme: Tenant
) -> None:
    """Also where a process still has it: nobody can read it without the key."""
    await ask(client), await ask(client)
    key = await in_database(ApiKey.objects.get)()
    eraser = erasers.find("kept_answers")
    assert eraser
    whose = acme.id, key.subject_id
    assert await in_database(stored_answers.left_of)(*whose) == 1
    assert await in_database(eraser.erase)(*whose) == {"kept_answers": 1}
    assert await in_database(eraser.verify)(*whose) == 0
    await in_database(keys.destroy)(*whose)
    async with await client_of(acme) as colleague:
        assert (await ask(colleague, ONLY)).status_code == 404


async def test_it_outlives_a_redis_that_lost_it_and_one_that_is_away(
    client: httpx.AsyncClient, context: Context, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(client), await ask(client)
    for key in valkey.scan_iter("cache:*"):
        valkey.delete(key)
    assert is_hit(await ask(client))  # of this process
    context.kept_answers.first.__init__()  # type: ignore[misc]
    assert is_hit(await ask(client)) is False


async def test_it_is_there_while_no_engine_is(
    client: httpx.AsyncClient, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(client)

    def paused(*_: Any) -> Any:
        raise EnginesPaused("small", 7)

    with monkeypatch.context() as patch:
        patch.setattr(draft, "route", paused)
        kept, other = await ask(client), await ask(client, text="other")
    assert is_hit(kept)
    assert (other.status_code, other.headers["retry-after"]) == (503, "7")
    assert {row.pool for row in await usages()} == {next(iter(engines.pools()))}
    assert is_hit(await ask(client, text="other")) is False


async def test_a_tenants_bytes_are_bounded(
    client: httpx.AsyncClient, settings: Any, valkey: Redis, acme: Tenant
) -> None:
    settings.CACHE_BYTES = 4 * 4_000  # a quarter for each
    for n in range(20):
        await ask(client, text=f"question {n}")
    held = await in_database(stored_answers.stored)(acme.id)
    assert 0 < held.bytes["small"] <= 4_000
    assert held.entries["small"] == len(list(valkey.scan_iter(f"{prefix(acme.id)}:e:*"))) < 20
    assert await in_database(stored_answers.purge)(acme.id) == held.entries["small"]
    assert not list(valkey.scan_iter(f"{prefix(acme.id)}:e:*"))
    assert valkey.hgetall(f"{prefix(acme.id)}:about") == {b"bytes": b"0"}


async def test_what_goes_while_a_purge_runs_is_counted_once(
    client: httpx.AsyncClient, valkey: Redis, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a tenant would have less and less room, or more than its part."""
    await ask(client, text="one")
    await ask(client, text="other")
    listed = list(stored_answers._lines(acme.id))
    assert len(listed) == 2
    monkeypatch.setattr(stored_answers, "_lines", lambda _: iter(listed))
    assert await in_database(stored_answers.purge)(acme.id) == 2
    await ask(client, text="one")  # kept anew meanwhile
    held = int(valkey.hget(f"{prefix(acme.id)}:about", "bytes") or 0)
    assert held > 0
    assert await in_database(stored_answers.purge)(acme.id) == 1
    assert valkey.hget(f"{prefix(acme.id)}:about", "bytes") == b"0"
    assert await in_database(stored_answers.purge)(acme.id) == 0
    assert valkey.hget(f"{prefix(acme.id)}:about", "bytes") == b"0"
