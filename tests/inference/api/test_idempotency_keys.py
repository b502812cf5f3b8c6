"""A key is claimed in the commit that receives its request, by one of those that try."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.keys import keyring as keys
from audit.models import Payload
from inference import engines
from inference.api import idempotency
from inference.api.call import Call
from inference.errors import Conflict, KeyReused
from inference.intake import answer_stream, enqueue
from inference.intake import submit as submitting
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.errors import KeyTaken, NotAdmitted, OutOfService
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Submission
from inference.models import Completion, IdempotencyKey, State, Usage
from inference.models.idempotency_key import KEPT
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.record.recorded_requests import recorded_order
from inference.stream.frames import Kind
from inference.tasks import forget_keys
from tenants.caller import Caller, QuotaRef
from tenants.models import LedgerEntry, Quota, Tenant
from tests.inference.api.stream_readers import issued
from tests.inference.callers import speaking

in_database = database_sync_to_async
ROUTE = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "m", "messages": []}
HOUR = timedelta(hours=1)


@pytest.fixture
async def contexts(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Context, Context]]:
    """Of two web processes."""
    engine = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "template_tokens": 64}
    settings.ENGINES = {pool: {**engine, "context_length": 1_000_000}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    engines.forget()
    opened = Context(), Context()
    yield opened
    for context in opened:
        await context.close()
    engines.forget()


@pytest.fixture
async def caller(acme: Tenant) -> Caller:
    return speaking((await issued(acme))[0])


def submission(caller: Caller, claim: Claim, **changes: Any) -> Submission:
    asked: dict[str, Any] = {
        "caller": caller,
        "engine": next(iter(engines.served().values())),
        "body": b'{"messages":[]}',
        "route": ROUTE,
        "chat": True,
        "stream": True,
        "estimate": 100,
        "claim": claim,
    }
    return Submission(**{**asked, **changes})


async def look_up(caller: Caller, claim: Claim) -> Claim | Completion:
    return await idempotency._look_up(caller, claim)


async def ready(caller: Caller, body: dict[str, Any] = BODY) -> Claim:
    found = await look_up(caller, Claim.of("k", ROUTE, body))
    assert isinstance(found, Claim)
    return found


async def all_at_once(
    contexts: tuple[Context, Context], caller: Caller, claim: Claim
) -> tuple[AnswerStream, list[BaseException]]:
    asked = submission(caller, claim)
    told = await asyncio.gather(
        *(submitting.submit(contexts[n % 2], asked) for n in range(12)), return_exceptions=True
    )
    (won,) = [each for each in told if isinstance(each, AnswerStream)]
    return won, [each for each in told if isinstance(each, BaseException)]


async def test_of_many_at_two_processes_one_runs(
    contexts: tuple[Context, Context], caller: Caller
) -> None:
    won, lost = await all_at_once(contexts, caller, await ready(caller))
    assert {type(each) for each in lost} == {KeyTaken}
    (completion,) = await in_database(lambda: list(Completion.objects.all()))()
    (key,) = await in_database(lambda: list(IdempotencyKey.objects.all()))()
    assert completion.pk == key.completion_id == won.order.id
    assert await in_database(LedgerEntry.objects.count)() <= 1
    found = await look_up(caller, Claim.of("k", ROUTE, BODY))
    assert found == completion


async def test_a_key_that_came_to_nothing_is_taken_over_once(
    contexts: tuple[Context, Context], acme: Tenant, caller: Caller
) -> None:
    full = await in_database(
        lambda: Quota.set(acme, unit="requests", window="day", limit=0, by="test")
    )()
    counted = replace(caller, quotas=(QuotaRef(full.id, "requests", "day", ""),))
    with pytest.raises(NotAdmitted):
        await submitting.submit(contexts[0], submission(counted, await ready(caller)))
    assert await in_database(Completion.objects.count)() == 0
    await in_database(full.delete)()
    claim = await ready(caller)
    assert claim.instead_of
    won, lost = await all_at_once(contexts, caller, claim)
    assert {type(each) for each in lost} == {KeyTaken}
    assert await look_up(caller, claim) == await in_database(Completion.objects.get)()
    assert won.order.outlives_reader


@pytest.mark.parametrize(
    ("state", "tokens", "is_free"),
    [
        (State.FAILED, (0, 0), True),
        (State.CANCELLED, (0, 0), True),
        (State.FAILED, (5, 0), False),
        (State.CANCELLED, (5, 2), False),
        (State.DONE, (5, 0), False),
    ],
)
async def test_what_has_read_a_prompt_came_to_something(
    acme: Tenant, caller: Caller, state: State, tokens: tuple[int, int], is_free: bool
) -> None:
    """It is paid for: the key does not run it anew."""
    claim, now = await ready(caller), timezone.now()

    def ended() -> None:
        what = {"tenant": acme, "model": "m", "api_key_id": caller.api_key_id}
        completion = Completion.objects.create(
            id=uuid4(), route=ROUTE, state=state, stream=True, created_at=now, **what
        )
        counts = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        Usage.objects.create(
            completion=completion, status=502, created_at=now, duration_ms=1, **counts, **what
        )
        held = {"owner": caller.api_key_id, "key": claim.key, "body": claim.body}
        IdempotencyKey.objects.create(
            tenant=acme, completion_id=completion.pk, created_at=now, **held
        )

    await in_database(ended)()
    found = await look_up(caller, claim)
    assert isinstance(found, Claim if is_free else Completion)


async def test_a_large_body_is_claimed_too(
    contexts: tuple[Context, Context], caller: Caller
) -> None:
    large = b'{"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 200_000)
    claim = await ready(caller)
    answer = await submitting.submit(contexts[0], submission(caller, claim, body=large))
    found = await in_database(recorded_order)(answer.order.id)
    assert found
    assert found[1].body == large
    with pytest.raises(KeyTaken):
        await submitting.submit(contexts[1], submission(caller, claim, body=large))


async def test_the_same_body_at_another_address_is_another_request(
    contexts: tuple[Context, Context], caller: Caller
) -> None:
    await submitting.submit(contexts[0], submission(caller, await ready(caller)))
    assert isinstance(await look_up(caller, Claim.of("k", ROUTE, BODY)), Completion)
    with pytest.raises(KeyReused):
        await look_up(caller, Claim.of("k", "/v1/completions", BODY))


def test_the_order_of_fields_makes_no_other_request(settings: Settings) -> None:
    turned = dict(reversed(BODY.items()))
    assert Claim.of("k", ROUTE, turned) == Claim.of("k", ROUTE, BODY)
    assert Claim.of("k", ROUTE, {**BODY, "stop": "x"}).body != Claim.of("k", ROUTE, BODY).body
    assert Claim.of("other", ROUTE, BODY).key != Claim.of("k", ROUTE, BODY).key


async def test_another_body_is_refused_until_the_key_is_forgotten(
    contexts: tuple[Context, Context], caller: Caller
) -> None:
    await submitting.submit(contexts[0], submission(caller, await ready(caller)))
    other = Claim.of("k", ROUTE, {**BODY, "max_tokens": 1})
    with pytest.raises(KeyReused):
        await look_up(caller, other)
    await in_database(forget_keys)()
    assert await in_database(IdempotencyKey.objects.count)() == 1
    (key,) = await in_database(lambda: list(IdempotencyKey.objects.all()))()
    old = key.created_at - KEPT
    await in_database(lambda: IdempotencyKey.objects.update(created_at=old))()
    found = await look_up(caller, other)
    assert isinstance(found, Claim)
    assert found.instead_of == key.completion_id
    await in_database(forget_keys)()
    assert await in_database(IdempotencyKey.objects.count)() == 0


async def test_it_stays_the_keys_own_when_that_is_rotated(
    contexts: tuple[Context, Context], acme: Tenant
) -> None:
    first, _ = await issued(acme)
    await submitting.submit(contexts[0], submission(speaking(first), await ready(speaking(first))))
    completion = await in_database(Completion.objects.get)()
    second, _ = await in_database(lambda: first.rotate(by="test", overlap=HOUR))()
    third, _ = await in_database(lambda: second.rotate(by="test", overlap=HOUR))()
    for key in (first, second, third):
        assert await look_up(speaking(key), Claim.of("k", ROUTE, BODY)) == completion
    stranger, _ = await in_database(lambda: third.rotate(by=f"member:{uuid4()}", overlap=HOUR))()
    with pytest.raises(Conflict) as refused:
        await look_up(speaking(stranger), Claim.of("k", ROUTE, BODY))
    assert refused.value.code == "idempotency_answer_gone"
    other, _ = await issued(acme)
    assert isinstance(await look_up(speaking(other), Claim.of("k", ROUTE, BODY)), Claim)


async def test_an_erased_answer_is_not_told(
    contexts: tuple[Context, Context], caller: Caller
) -> None:
    await submitting.submit(contexts[0], submission(caller, await ready(caller)))
    await in_database(keys.destroy)(caller.tenant_id, caller.subject_id)
    assert await in_database(Payload.objects.exists)()
    call = Call(contexts[1], ROUTE, "")
    with pytest.raises(Conflict, match="erased"):
        await idempotency.submit(call, submission(caller, Claim.of("k", ROUTE, BODY)))


@pytest.mark.parametrize("text", [b"Hello", b"42", b"[]", b'{"a": 1}'])
async def test_a_stream_that_an_earlier_version_recorded_as_text(
    contexts: tuple[Context, Context], caller: Caller, text: bytes
) -> None:
    await submitting.submit(contexts[0], submission(caller, await ready(caller)))
    await in_database(_settle)(text)
    again = submission(caller, Claim.of("k", ROUTE, BODY))
    replay = await idempotency.submit(Call(contexts[1], ROUTE, ""), again)
    (frame,) = [frame async for frame in replay.frames() if frame]
    assert frame.status == 409
    assert b"an earlier version recorded it" in frame.body


@pytest.mark.timeout(30)
async def test_an_answer_in_one_piece_comes_from_the_record_at_once(
    contexts: tuple[Context, Context], caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "LOOK_AROUND_S", 3600)
    await submitting.submit(contexts[0], submission(caller, await ready(caller), stream=False))
    await in_database(_settle)(b'{"a": 1}')
    again = submission(caller, Claim.of("k", ROUTE, BODY))
    replay = await idempotency.submit(Call(contexts[1], ROUTE, ""), again)
    frame = await replay.whole()
    assert (frame.kind, frame.body) == (Kind.BODY, b'{"a": 1}')


def _settle(response: bytes) -> None:
    found = recorded_order(Completion.objects.get().pk)
    assert found
    cipher = keys.keyring.of_subject_now(found[1].tenant_id, found[1].subject_id)
    outcome = Outcome(response=response)
    row = request_rows.settled_row(found[1], outcome, cipher, time.time())
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.SETTLED, [orjson.dumps([row]).decode()])


async def test_a_database_that_is_away_is_no_mistake_of_ours(
    contexts: tuple[Context, Context], caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await ready(caller)
    await submitting.submit(contexts[0], submission(caller, claim))

    def away(_: Caller) -> UUID:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(idempotency, "owner_of", away)
    with pytest.raises(OutOfService):
        await idempotency.submit(
            Call(contexts[0], ROUTE, ""), submission(caller, Claim.of("k", ROUTE, BODY))
        )
