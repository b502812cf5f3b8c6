"""Every time on a page is in the reader's time zone, and so is what they type."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tenants.models import ApiKey, Member, Quota, QuotaRaise, Tenant
from tests.console.conftest import SignIn

SHANGHAI = "Asia/Shanghai"  # UTC+8, without summer time


@pytest.fixture
def client(alice: Member, sign_in: SignIn) -> Client:
    client = sign_in(alice)
    client.cookies["forebay_time_zone"] = SHANGHAI
    return client


def test_times_are_shown_in_the_readers_zone(client: Client, alice: Member) -> None:
    key, _ = ApiKey.issue(alice.tenant, "ci", by="test")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=datetime(2030, 1, 31, 20, 15, tzinfo=UTC))
    page = client.get(f"/console/t/acme/keys/{key.pk}/").content.decode()
    assert "2030-02-01" in page
    assert f"Times are in {SHANGHAI}" in page
    assert f'data-time-zone="{SHANGHAI}"' in page


PAGES = ("audit", "batches", "keys", "limits", "quotas", "queue", "raises", "refusals", "requests")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_says_that_its_times_are_in_utc(client: Client, alice: Member, page: str) -> None:
    Tenant.objects.filter(pk=alice.tenant_id).update(time_zone=SHANGHAI)
    Quota.set(alice.tenant, unit="tokens", window="day", limit=1000, by="test")
    answer = client.get(f"/console/t/acme/{page}/")
    assert answer.status_code == 200
    assert "UTC" not in answer.content.decode()


def test_what_is_typed_is_meant_in_the_readers_zone(client: Client, alice: Member) -> None:
    quota = Quota.set(alice.tenant, unit="tokens", window="day", limit=1000, by="test")
    page = f"/console/t/acme/quotas/{quota.pk}/"
    assert f"Until ({SHANGHAI})" in client.get(page).content.decode()
    until = (timezone.now() + timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)
    typed = until + timedelta(hours=8)
    form = {"amount": "5", "reason": "end of month", "expires_at": f"{typed:%Y-%m-%dT%H:%M}"}
    assert client.post(f"{page}raise/", form).status_code == 302
    assert QuotaRaise.objects.get().expires_at == until


@pytest.mark.parametrize("cookie", ["", "Mars/Olympus", "../../etc/passwd", "a" * 5000])
def test_a_zone_that_does_not_exist_is_utc(client: Client, cookie: str) -> None:
    client.cookies["forebay_time_zone"] = cookie
    assert "Times are in UTC" in client.get("/console/t/acme/").content.decode()


def test_the_api_stays_in_utc(client: Client, alice: Member) -> None:
    ApiKey.issue(alice.tenant, "ci", by="test")
    (key,) = client.get("/api/v1/tenants/acme/keys/").json()["results"]
    assert key["created_at"].endswith("Z")


def test_a_signed_report_is_in_utc(client: Client, alice: Member) -> None:
    client.post("/console/t/acme/compliance/run/")
    report = client.post("/console/t/acme/compliance/report/", {"format": "html"}).content.decode()
    assert " UTC" in report
    assert SHANGHAI not in report
    assert " CST" not in report
