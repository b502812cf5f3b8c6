"""A stored response is written in the commit of its request, and has no text beside the record."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import models
from pytest_django.fixtures import Settings

from audit.keys.keyring import destroy
from audit.models import Payload
from audit.trail.group_commit import LARGE
from inference import engines
from inference.intake import enqueue
from inference.intake import submit as submitting
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from inference.intake.idempotency_claim import Claim
from inference.intake.submission import Submission
from inference.models import Completion, StoredResponse
from inference.order import Order, Stored
from inference.record.recorded_requests import recorded_order
from inference.stored_responses.record import recorded
from tenants.caller import Caller, QuotaRef
from tenants.models import ApiKey, Quota, Tenant
from tests.inference.api.stream_readers import issued
from tests.inference.callers import speaking
from tests.inference.stored_responses.rows import WORD, a_response, a_stored

in_database = database_sync_to_async
BODY = b'{"messages":[]}'


@pytest.fixture
async def context(
    settings: Settings, dsn: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    engine = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "template_tokens": 64}
    settings.ENGINES = {pool: {**engine, "context_length": 1_000_000}}
    settings.DATABASE_URL, settings.ADDRESS_PER_MINUTE = dsn, 0
    monkeypatch.setattr(enqueue, "wake_up", lambda _: None)
    engines.forget()
    opened = Context()
    yield opened
    await opened.close()
    engines.forget()


@pytest.fixture
async def caller(acme: Tenant) -> Caller:
    return speaking((await issued(acme))[0])


def submission(caller: Caller, stored: Stored | None, **changes: Any) -> Submission:
    fields: dict[str, Any] = {
        "caller": caller,
        "engine": next(iter(engines.served().values())),
        "body": BODY,
        "route": "/v1/responses",
        "chat": True,
        "stream": False,
        "estimate": 100,
        "stored": stored,
    }
    return Submission(**{**fields, **changes})


async def submitted(
    context: Context, caller: Caller, stored: Stored | None, **changes: Any
) -> AnswerStream:
    return await submitting.submit(context, submission(caller, stored, **changes))


@in_database
def rows() -> list[StoredResponse]:
    return list(StoredResponse.objects.all())


async def order_of(row: StoredResponse) -> Order:
    record = await in_database(recorded_order)(row.pk)
    assert record
    return record[1]


async def test_the_row_comes_with_the_record(context: Context, caller: Caller) -> None:
    stored = a_stored(background=True)
    answer = await submitted(context, caller, stored)
    (row,) = await rows()
    assert (row.pk, row.tenant_id, row.api_key_id) == (
        answer.order.id,
        caller.tenant_id,
        caller.api_key_id,
    )
    assert (row.subject_id, row.background, row.size) == (caller.subject_id, True, stored.size)
    assert row.deleted_at is None
    completion = await in_database(Completion.objects.get)(pk=row.pk)
    assert row.created_at == completion.created_at
    assert (await order_of(row)).stored == stored


async def test_one_that_is_not_stored_has_neither_row_nor_text(
    context: Context, caller: Caller
) -> None:
    answer = await submitted(context, caller, None)
    assert await rows() == []
    record = await in_database(recorded_order)(answer.order.id)
    assert record
    assert record[1].stored is None


@pytest.mark.parametrize("size", [LARGE // 2, LARGE + 1])
async def test_large_ones_are_stored_too(context: Context, caller: Caller, size: int) -> None:
    await submitted(context, caller, a_stored("x" * size))
    (row,) = await rows()
    assert row.size > size
    assert (await order_of(row)).stored == a_stored("x" * size)


async def test_with_an_idempotency_key(context: Context, caller: Caller) -> None:
    assert caller.api_key_id
    claim = replace(Claim.of("k", "/v1/responses", {}), owner=caller.api_key_id)
    answer = await submitted(context, caller, a_stored(), claim=claim)
    (row,) = await rows()
    assert row.pk == answer.order.id


async def test_what_a_quota_refused_is_not_stored(
    context: Context, caller: Caller, acme: Tenant
) -> None:
    quota = await in_database(
        lambda: Quota.set(acme, unit="requests", window="day", limit=0, by="test")
    )()
    counted = replace(caller, quotas=(QuotaRef(quota.id, "requests", "day", ""),))
    with pytest.raises(NotAdmitted):
        await submitted(context, counted, a_stored())
    assert await rows() == []


@pytest.mark.parametrize("background", [True, False])
async def test_one_in_the_background_outlives_its_reader(
    context: Context, caller: Caller, background: bool
) -> None:
    answer = await submitted(context, caller, a_stored(background=background))
    assert answer.order.outlives_reader == background


def test_the_table_has_no_place_for_a_text(acme: Tenant) -> None:
    row = a_response(ApiKey.issue(acme, "ci", by="test")[0])
    texts = models.TextField, models.CharField, models.BinaryField, models.JSONField
    assert not [field for field in StoredResponse._meta.fields if isinstance(field, texts)]
    ciphertexts = [bytes(each.ciphertext) for each in Payload.objects.filter(request_id=row.pk)]
    assert len(ciphertexts) == 2
    assert not any(WORD.encode() in each for each in ciphertexts)


def test_it_is_read_from_the_record(acme: Tenant) -> None:
    row = a_response(ApiKey.issue(acme, "ci", by="test")[0])
    response = recorded(row)
    assert response
    assert response.items[0]["content"] == WORD
    assert response.head["head"] == {"metadata": {"case": "7"}}
    assert (response.state, response.is_open) == ("done", False)
    assert b"Noted." in (response.answer or b"")


def test_an_open_one_has_no_answer_and_a_failed_one_its_error(acme: Tenant) -> None:
    key = ApiKey.issue(acme, "ci", by="test")[0]
    waiting = recorded(a_response(key, over=False))
    failure: dict[str, Any] = {"state": "failed", "error_code": "engine_failed"}
    failed = recorded(a_response(key, **failure))
    assert waiting
    assert failed
    assert (waiting.is_open, waiting.answer) == (True, None)
    assert (failed.state, failed.error_code, failed.answer) == ("failed", "engine_failed", None)


def test_without_its_persons_key_there_is_none(acme: Tenant) -> None:
    key = ApiKey.issue(acme, "ci", by="test")[0]
    row = a_response(key)
    destroy(key.tenant_id, key.subject_id)
    assert recorded(row) is None
