"""What a drill reads from the record: requests, completions that nobody heard of, and the books."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.db import connection

from audit.keys.keyring import keyring
from audit.models import Seal
from audit.proof.seal import seal_round
from config.drills import recorded
from config.drills.consistency import Mark, Recorded
from inference.order import Order
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import Quota, Tenant
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order
from tests.unguarded import unguarded

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(db: None) -> Tenant:
    """It has a quota, so that the ledger has each request."""
    tenant = Tenant.open("drill", by="test")
    Quota.set(tenant, unit="tokens", window="day", limit=10**12, by="test")
    return tenant


def write(statement: str, row: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])


def received(tenant: Tenant) -> Order:
    charge = Charge(prompt_tokens=100, completion_tokens=100, prompt_price=1, completion_price=3)
    order = an_order(tenant_id=tenant.id, created_at=datetime.now(UTC).timestamp(), charge=charge)
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    encrypted = request_rows.encrypted_order(order, cipher)
    write(sql_statements.RECEIVED, request_rows.received_row(order, encrypted, tenant.time_zone))
    return order


def completed(tenant: Tenant, **outcome: Any) -> str:
    order = received(tenant)
    fields = {"prompt_tokens": 3, "completion_tokens": 4, **outcome}
    at = order.created_at + 1
    write(sql_statements.SETTLED, request_rows.settled_row(order, Outcome(**fields), None, at))
    return str(order.id)


def test_a_request_is_on_record_when_all_its_parts_are(tenant: Tenant) -> None:
    whole, open_one = completed(tenant), str(received(tenant).id)
    record = recorded.read([whole, open_one])
    assert record[whole] == Recorded(1, record[whole].position)
    assert 0 < record[whole].position < record[open_one].position
    assert record[open_one].times == 0


def test_completions_that_nobody_heard_of_are_those_of_the_drill_alone(tenant: Tenant) -> None:
    completed(tenant)  # of an earlier drill
    mark = recorded.mark(tenant)
    heard, unheard = completed(tenant), completed(tenant)
    completed(tenant, state="failed", status=503, error_code="recorded_late")
    received(tenant)  # still open
    completed(Tenant.open("acme", by="test"))
    assert recorded.others(tenant, [heard], mark) == [unheard]


def test_a_seal_that_was_changed_since_the_drill_began_is_found(tenant: Tenant) -> None:
    """However many there are by then: a drill lasts longer than a page's check reaches back."""
    mark = recorded.mark(tenant)
    for _ in range(42):
        completed(tenant)
        seal_round()
    assert recorded.books(tenant, mark) == {"audit": [], "ledger": []}
    first = Seal.objects.filter(pk__gt=mark.seal).order_by("pk").first()
    assert first
    with unguarded():
        Seal.objects.filter(pk=first.pk).update(size=first.size + 1)
    assert "its events are not those that were sealed" in recorded.books(tenant, mark)["audit"][0]
    later = Mark(seal=first.pk)
    assert recorded.books(tenant, later)["audit"] == []


def test_a_request_that_never_ends_is_a_finding(tenant: Tenant) -> None:
    received(tenant)
    assert recorded.books(tenant, recorded.mark(tenant))["ledger"] == [
        "requests that never ended: 1"
    ]
