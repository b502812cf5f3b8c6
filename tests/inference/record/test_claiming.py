"""A claim on an idempotency key costs the same after a million others."""

import pytest
from django.db import connection

from inference.record.commits import CLAIMED
from tenants.models import Tenant

pytestmark = pytest.mark.django_db
KEYS = """
    insert into inference_idempotencykey (tenant_id, owner, key, body, completion_id, created_at)
    select %s, gen_random_uuid(), uuid_send(gen_random_uuid()), '', gen_random_uuid(), now()
    from generate_series(1, 5000)"""


def test_a_key_that_is_taken_over_is_looked_up(acme: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute(KEYS, [acme.pk])
        cursor.execute("analyze inference_idempotencykey")
        cursor.execute(f"explain (generic_plan) {CLAIMED.replace('%s', '$1')}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on inference_idempotencykey" not in plan
    assert "Index Cond: (id = ANY (" in plan
    assert "Index Cond: ((tenant_id = n.tenant_id) AND (owner = n.claim_owner) AND (key =" in plan
