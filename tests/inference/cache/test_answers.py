"""What is kept of an answer, and where and for how long it opens."""

import time
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async

from audit.keys.keyring import keyring
from inference.cache.answers import LARGEST, CachedAnswer, cacheable, encrypted, opened
from inference.record.outcome import Outcome
from tenants.models import Tenant
from tests.inference.orders import an_order

GOOD: dict[str, Any] = {"finish_reason": "stop", "response": b'{"choices":[]}'}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "tool_calls"}, True),
        ({"finish_reason": "content_filter"}, False),
        ({"state": "failed"}, False),
        ({"state": "cancelled"}, False),
        ({"error_code": "engine_failed"}, False),
        ({"response": b""}, False),
        ({"response": b"x" * LARGEST}, True),
        ({"response": b"x" * (LARGEST + 1)}, False),
    ],
)
def test_only_whole_answers_of_some_size_are_kept(changes: dict[str, Any], is_kept: bool) -> None:
    assert (cacheable(Outcome(**GOOD | changes), 1.0) is not None) is is_kept


@pytest.mark.parametrize(("ends_in_s", "opens"), [(60, True), (-1, False)])
async def test_it_opens_until_its_end_under_its_own_name(
    acme: Tenant, ends_in_s: float, opens: bool
) -> None:
    order = an_order(tenant_id=acme.id, cached=b"name")
    cipher = await database_sync_to_async(keyring.of_subject_now)(acme.id, order.subject_id)
    answer = CachedAnswer(b"{}", "stop", 7, 3, time.time() + ends_in_s)
    data = encrypted(answer, order, cipher)
    assert (await opened(data, acme.id, b"name") == answer) is opens
    assert await opened(data, acme.id, b"other") is None
    assert await opened(data, uuid4(), b"name") is None
