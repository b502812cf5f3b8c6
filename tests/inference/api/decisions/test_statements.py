"""Counts the statements of a decision before its model is asked."""

from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.keys import digest_key
from audit.keys.keyring import destroy, keyring
from inference.api.decision_flow.people import subject_of
from tenants.models import Tenant
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db(transaction=True)


def statements(tenant: Tenant, reference: str) -> tuple[int, UUID]:
    """Returns how many statements the person and their key cost, and the key."""
    with CaptureQueriesContext(connection) as queries, tenant_scope(tenant.pk):
        subject = subject_of(tenant.pk, reference)
    return len(queries), subject.cipher.key_id


def test_a_person_and_their_key_cost_one_transaction(acme: Tenant) -> None:
    statements(acme, "the first one makes the tenant's secret")
    count, key_id = statements(acme, "customer-1")
    assert count <= 9
    keyring.forget(key_id)
    assert statements(acme, "customer-1") == (7, key_id)


def test_a_secret_of_digests_is_forgotten_with_its_key(acme: Tenant) -> None:
    before = digest_key.digest(acme.pk, "customer-1")
    with CaptureQueriesContext(connection) as queries:
        assert digest_key.digest(acme.pk, "customer-1") == before
    assert not len(queries)
    destroy(acme.pk, digest_key.OWNER)
    assert digest_key.digest(acme.pk, "customer-1") != before
