"""The pages of refusals cost the same however many there are: each reads an index, newest first."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import Member, Quota, Refusal, Tenant, User
from tests.console.conftest import SignIn

FIRST: dict[str, str] = {}
LATER = {"cursor": f"=2026-01-31T08:00:00+00:00~{UUID(int=1)}"}


@pytest.mark.parametrize("query", [FIRST, LATER])
def test_an_operators(operator: User, sign_in: SignIn, query: dict[str, str]) -> None:
    plan = plan_of(sign_in(operator), "/console/refusals/", query)
    assert " using tenants_refusal_newest on " in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("query", [FIRST, LATER])
def test_a_tenants(alice: Member, sign_in: SignIn, query: dict[str, str]) -> None:
    plan = plan_of(sign_in(alice), "/console/t/acme/refusals/", query)
    assert " using tenants_refusal_last on " in plan
    assert "Presorted Key: tenants_refusal.last_at" in plan  # of one moment there are few


def plan_of(client: Client, path: str, query: dict[str, str]) -> str:
    """Of the page's own question. The table is empty: as if reading all of it cost a lot."""
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path, query).status_code == 200
    table = Refusal._meta.db_table
    (sql,) = [q["sql"] for q in asked if f'FROM "{table}"' in q["sql"] and "LIMIT" in q["sql"]]
    with connection.cursor() as cursor:
        for step in "seqscan", "bitmapscan", "sort":
            cursor.execute(f"set local enable_{step} = off")
        cursor.execute(f"explain {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


# One that a quota refused ------------------------------------------------------------------------
def of_a_quota(tenant: Tenant) -> tuple[Refusal, Quota]:
    quota = Quota.set(tenant, unit="tokens", window="day", limit=12, by="test")
    now = timezone.now()
    refusal = Refusal.objects.create(
        tenant=tenant,
        actor="key:1",
        tier="quota",
        quota_id=quota.id,
        limit=12,
        used=12,
        minute=now,
        first_at=now,
        last_at=now,
        frees_at=now + timedelta(hours=3),
    )
    return refusal, quota


def test_nobody_is_told_that_sdks_retry_what_a_quota_refused(
    alice: Member, sign_in: SignIn
) -> None:
    refusal, quota = of_a_quota(alice.tenant)
    page = sign_in(alice).get(f"/console/t/acme/refusals/{refusal.pk}/").content.decode()
    assert "x-should-retry: false" in page
    assert "retry automatically" not in page
    assert f'href="/console/t/acme/quotas/{quota.pk}/"' in page
    assert "Ask for an increase" in page


def test_one_who_may_not_ask_for_a_raise_reads_who_may(bob: Member, sign_in: SignIn) -> None:
    refusal, _ = of_a_quota(bob.tenant)
    page = sign_in(bob).get(f"/console/t/acme/refusals/{refusal.pk}/").content.decode()
    assert "Ask for an increase" not in page
    assert "can ask for an increase: Owner, Administrator." in page
