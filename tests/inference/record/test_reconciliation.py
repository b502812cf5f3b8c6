"""Ledger, usage and counters of a day are the same, or somebody hears of it."""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.keys.keyring import keyring
from audit.models import Event
from inference.models import Usage
from inference.order import Order
from inference.record import reconciliation, request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import LedgerEntry, Quota, QuotaCounter, Reconciliation, Tenant
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order
from tests.unguarded import unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 20)


def write(statement: str, row: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])


def received(tenant: Tenant, at: datetime = NOON) -> Order:
    charge = Charge(prompt_tokens=100, completion_tokens=100, prompt_price=1, completion_price=3)
    order = an_order(tenant_id=tenant.id, created_at=at.timestamp(), charge=charge)
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    row = request_rows.received_row(
        order, request_rows.encrypted_order(order, cipher), tenant.time_zone
    )
    write(sql_statements.RECEIVED, row)
    return order


def settle(order: Order, after_s: float = 1, **outcome: Any) -> None:
    at = order.created_at + after_s
    write(sql_statements.SETTLED, request_rows.settled_row(order, Outcome(**outcome), None, at))


def a_day(tenant: Tenant) -> None:
    for n in range(5):
        settle(received(tenant), prompt_tokens=10, completion_tokens=n, cached_tokens=4)
    settle(received(tenant), state="cancelled", status=499, finish_reason="cancelled")
    settle(received(tenant), state="failed", status=502, error_code="x", prompt_tokens=10)
    received(tenant)  # is still open


def test_a_day_with_everything_in_it_differs_by_nothing(acme: Tenant) -> None:
    Quota.set(acme, unit="cost", window="month", limit=10**6, by="test")
    a_day(acme)
    settle(received(acme, NOON + timedelta(days=1)), prompt_tokens=999)
    found = reconciliation.reconcile(acme, DAY)
    assert found.difference == 0
    assert (found.requests_ledger, found.requests_usage) == (6, 6)
    assert (found.tokens_ledger, found.tokens_usage) == (70, 70)
    # 60 fresh and 20 cached (for nothing) of the prompts, 10 of the answers at three each
    assert (found.cost_ledger, found.cost_usage) == (40 + 30, 40 + 30)
    assert not Event.objects.filter(action="quota:difference").exists()


def test_a_request_over_midnight_is_of_the_day_in_which_it_came_in(acme: Tenant) -> None:
    late = received(acme, datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC))
    settle(late, after_s=5, prompt_tokens=10)
    assert reconciliation.reconcile(acme, DAY).tokens_ledger == 10
    assert reconciliation.reconcile(acme, DAY).tokens_usage == 10
    assert reconciliation.reconcile(acme, DAY + timedelta(days=1)).tokens_usage == 0


def test_the_day_is_the_tenants(acme: Tenant) -> None:
    acme.time_zone = "Asia/Shanghai"
    acme.save()
    settle(received(acme, datetime(2026, 11, 20, 17, tzinfo=UTC)), prompt_tokens=10)
    assert reconciliation.reconcile(acme, DAY).requests_usage == 0
    assert reconciliation.reconcile(acme, DAY + timedelta(days=1)).requests_ledger == 1


@pytest.mark.parametrize("where", ["usage", "ledger", "used", "reserved"])
def test_whatever_is_not_the_same_is_told(
    acme: Tenant, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    a_day(acme)
    quota = Quota.set(acme, unit="tokens", window="month", limit=10**6, by="test")
    november = datetime(2026, 11, 1, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            "select tenants_open_counter(%s, %s, %s)",
            [quota.id, november, datetime(2026, 12, 1, tzinfo=UTC)],
        )
    assert reconciliation.reconcile(acme, DAY).difference == 0
    if where == "usage":
        Usage.objects.filter(prompt_tokens=10).update(completion_tokens=50)
    elif where == "ledger":
        with unguarded():
            LedgerEntry.objects.filter(kind="settle")[0].delete()
    else:
        counter = QuotaCounter.objects.get(quota=quota, starts=november)
        QuotaCounter.objects.filter(pk=counter.pk).update(**{where: getattr(counter, where) + 1})
    with caplog.at_level(logging.ERROR):
        found = reconciliation.reconcile(acme, DAY)
    assert found.difference > 0
    assert "differ" in caplog.text
    event = Event.objects.get(action="quota:difference")
    assert (event.tenant_id, event.detail["day"], event.success) == (acme.id, "2026-11-20", False)
    assert Reconciliation.objects.count() == 1  # looked at again, it is the same day
    with pytest.raises(CommandError, match="acme on 2026-11-20 by"):
        call_command("reconcile", "--day", "2026-11-20")


def test_each_tenants_latest_full_day_is_looked_at_once(acme: Tenant) -> None:
    Tenant.open("auckland", by="test", time_zone="Pacific/Auckland")
    now = datetime(2026, 11, 21, 0, 15, tzinfo=UTC)  # in Auckland it is past noon
    done = {(each.tenant.name, each.day) for each in reconciliation.reconcile_due(now)}
    assert done == {("acme", DAY), ("auckland", DAY)}
    assert reconciliation.reconcile_due(now) == []
    later = now + timedelta(hours=12)
    assert [each.tenant.name for each in reconciliation.reconcile_due(later)] == ["auckland"]


def test_the_command(acme: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    a_day(acme)
    call_command("reconcile", "--day", "2026-11-20", "--tenant", "acme", "--json")
    assert orjson.loads(capsys.readouterr().out) == {"compared": 1, "difference": 0, "overruns": 0}
    with pytest.raises(CommandError, match="no tenant"):
        call_command("reconcile", "--tenant", "nobody")
    with pytest.raises(CommandError, match="a day like"):
        call_command("reconcile", "--day", "yesterday")
