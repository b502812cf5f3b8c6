"""The verification of the trail compares the texts of decisions with their events, too."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.proof import seal
from audit.verification.verify import VerificationRange, verify
from inference.models import Decision
from inference.personal_data import decisions
from inference.record.decided import DECIDED, DecisionRecord
from tenants.models import Tenant
from tests.audit.sealed import empty, superuser
from tests.inference.decisions.made import decided

pytestmark = pytest.mark.django_db(transaction=True)
_OF_THE_EVENT = {
    "at": None,
    "actor": "key:1",
    "client_net": None,
    "route": "decisions",
    "model": "m",
}


@pytest.fixture
def root(db: None, settings: Any) -> Iterator[psycopg.Connection]:
    settings.WITNESSES = []
    with superuser() as root:
        empty(root)
        yield root


def on_record(tenant: Tenant) -> Decision:
    """Returns a decision that was recorded with its event, as those of clients are."""
    made = decided(tenant)
    names = [name for name in DecisionRecord.__struct_fields__ if name not in _OF_THE_EVENT]
    fields = {name: getattr(made, name) for name in names}
    record = DecisionRecord(**{**fields, **_OF_THE_EVENT, "id": uuid4(), "at": timezone.now()})
    with connection.cursor() as cursor:
        cursor.execute(DECIDED, [orjson.dumps([record.row()]).decode()])
    return Decision.objects.get(pk=record.id)


def findings(root: psycopg.Connection, span: VerificationRange | None = None) -> list[str]:
    seal.seal_due()
    report = verify(root, span)
    root.rollback()
    return [finding.kind for finding in report.findings]


def test_a_changed_text_is_a_finding(root: psycopg.Connection) -> None:
    tenant, other = (Tenant.open(name, by="test") for name in ("acme", "globex"))
    decision = on_record(tenant)
    assert findings(root) == []
    Decision.objects.filter(pk=decision.pk).update(ciphertext=b"another text")
    assert findings(root) == ["text_changed"]
    assert findings(root, VerificationRange(tenant_id=tenant.id)) == ["text_changed"]
    assert findings(root, VerificationRange(tenant_id=other.id)) == []
    assert findings(root, VerificationRange(until=decision.created_at)) == []


def test_an_erased_text_is_none(root: psycopg.Connection) -> None:
    tenant = Tenant.open("acme", by="test")
    emptied, deleted = on_record(tenant), on_record(tenant)
    assert emptied.person_id
    decisions.erase(tenant.id, emptied.person_id)
    Decision.objects.filter(pk=deleted.pk).delete()
    assert findings(root) == []
    keyring.close()
