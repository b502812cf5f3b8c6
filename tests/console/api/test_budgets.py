"""Quotas, raises, notices, reconciliations, refusals and usage."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone
from starlette.testclient import TestClient

from audit.models import Event
from inference.models import UsageHour
from tenants.models import (
    ApiKey,
    LedgerEntry,
    Member,
    Quota,
    QuotaNotice,
    Reconciliation,
    Refusal,
    Tenant,
    User,
)
from tests.console.api.conftest import API, Api, Enter, errors, issued, served

T = "tenants/acme/"


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


def test_a_quotas_life(api: Api, alice: Member) -> None:
    key, _text = issued(alice.tenant)
    answer = api.post(f"{T}quotas/", unit="tokens", window="day", limit=1000, key=str(key.pk))
    path = answer.headers["Location"]
    assert (answer.status_code, answer.json()["key"]) == (201, str(key.pk))
    assert api.patch(path, limit=2000).json()["limit"] == 2000
    standing = api.get(f"{path}standing/").json()
    assert (standing["allowed"], standing["remaining"], standing["percent"]) == (2000, 2000, 0)
    again = api.post(f"{T}quotas/", unit="tokens", window="day", limit=5, key=str(key.pk))
    assert again.status_code == 409
    assert api.get(f"{T}quotas/", key=str(key.pk)).json()["results"] == [api.get(path).json()]
    assert api.delete(path).status_code == 204
    assert not Quota.objects.exists()
    words = Event.objects.filter(action__startswith="quota:").values_list("action", flat=True)
    assert set(words) == {"quota:create", "quota:change", "quota:delete"}


def test_a_key_that_has_been_rotated_gets_no_quota(api: Api, alice: Member) -> None:
    key, _text = issued(alice.tenant)
    key.rotate(by="test", overlap=timedelta(days=1))
    answer = api.post(f"{T}quotas/", unit="tokens", window="day", limit=1, key=str(key.pk))
    assert (answer.status_code, list(errors(answer))) == (400, [""])
    assert not Quota.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": 10**15 + 1}, "limit"),
        ({"limit": 10**30}, "limit"),
        ({"unit": "euros"}, "unit"),
        ({"window": "year"}, "window"),
        ({"member": "bob"}, "member"),
        ({"model": "large", "key": "KEY"}, "model"),
    ],
)
def test_a_quota_that_makes_no_sense(
    api: Api, alice: Member, body: dict[str, Any], field: str
) -> None:
    if body.get("key"):
        body = {**body, "key": str(issued(alice.tenant)[0].pk)}
    answer = api.post(f"{T}quotas/", **{"unit": "tokens", "window": "day", "limit": 1, **body})
    assert (answer.status_code, list(errors(answer))) == (400, [field])


def test_a_key_does_not_change_its_own_quota(acme: Tenant, with_key: Enter) -> None:
    program = with_key(acme)
    own = Quota.set(
        acme, unit="tokens", window="day", limit=5, by="test", api_key=ApiKey.objects.get()
    )
    other = Quota.set(acme, unit="tokens", window="day", limit=5, by="test", model="large")
    assert program.patch(f"{T}quotas/{own.pk}/", limit=9).status_code == 403
    assert program.delete(f"{T}quotas/{own.pk}/").status_code == 403
    assert program.patch(f"{T}quotas/{other.pk}/", limit=9).status_code == 200


def test_a_key_does_not_change_its_successors_quota_nor_its_makers(
    acme: Tenant, bob: Member
) -> None:
    key, text = issued(acme, created_by=bob)
    program = Api(Client(), text)
    kind: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 1, "by": "test"}
    makers, own = Quota.set(acme, **kind, member=bob), Quota.set(acme, **kind, api_key=key)
    for path in ("keys/", f"keys/{issued(acme)[0].pk}/rotate/"):
        assert program.post(f"{T}{path}", name="x", scopes=["inference"]).status_code in (400, 403)
    assert program.post(f"{T}keys/", name="x", scopes=["inference"]).status_code == 403
    key.rotate(by="test", overlap=timedelta(days=1))
    for quota in (makers, own):
        assert program.patch(f"{T}quotas/{quota.pk}/", limit=9).status_code == 403
    assert program.post(f"{T}keys/", name="x", scopes=["inference"]).status_code == 403


def test_a_rotated_key_does_not_change_the_quota_that_went_over(acme: Tenant) -> None:
    """Nothing else stands in its way: it changes any other quota."""
    key, text = issued(acme)
    program = Api(Client(), text)
    kind: dict[str, Any] = {"unit": "requests", "window": "day", "limit": 1, "by": "test"}
    own, other = Quota.set(acme, **kind, api_key=key), Quota.set(acme, **kind, model="small")
    _, fresh = key.rotate(by="test", overlap=timedelta(days=1))
    for holder in (program, Api(Client(), fresh)):
        assert holder.patch(f"{T}quotas/{own.pk}/", limit=9).status_code == 403
        assert holder.delete(f"{T}quotas/{own.pk}/").status_code == 403
        assert holder.patch(f"{T}quotas/{other.pk}/", limit=9).status_code == 200
    assert Quota.objects.get(pk=own.pk).limit == 1


def test_the_platforms_quota_is_the_operators(
    api: Api, acme: Tenant, erin: Member, operator: User, enter: Enter, with_key: Enter
) -> None:
    kind: dict[str, Any] = {"unit": "cost", "window": "day", "limit": 5}
    path = enter(operator).post(f"{T}quotas/", **kind).headers["Location"]
    for who in (api, with_key(acme)):
        for answer in (who.patch(path, limit=10**9), who.delete(path)):
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:forebay:problem:set_by_platform"
    assert api.get(path).json()["set_by_platform"] is True
    ends = (timezone.now() + timedelta(days=2)).isoformat()
    body = {"quota": path.split("/")[-2], "amount": 3, "reason": "a launch", "expires_at": ends}
    asked = api.post(f"{T}raises/", **body).headers["Location"]
    answer = enter(erin).post(f"{asked}approve/")
    assert (answer.status_code, answer.json()["type"]) == (
        403,
        "urn:forebay:problem:set_by_platform",
    )
    assert enter(operator).post(f"{asked}approve/").status_code == 200
    assert enter(operator).patch(path, limit=6).json()["limit"] == 6
    assert enter(operator).delete(path).status_code == 204


def test_one_asks_for_more_and_another_decides(
    api: Api, bob: Member, erin: Member, enter: Enter, with_key: Enter
) -> None:
    quota = Quota.set(bob.tenant, unit="requests", window="day", limit=5, by="test")
    ends = (timezone.now() + timedelta(days=2)).isoformat()
    body = {"quota": str(quota.pk), "amount": 3, "reason": "a launch", "expires_at": ends}
    asked = api.post(f"{T}raises/", **body)
    assert (asked.status_code, asked.json()["state"]) == (201, "requested")
    assert asked.json()["requested_by"] == "alice@acme.example"
    path = asked.headers["Location"]
    answer = api.post(f"{path}approve/")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:forebay:problem:same_person")
    assert enter(bob).post(f"{path}approve/").status_code == 403
    assert with_key(bob.tenant).post(f"{path}approve/").status_code == 403
    assert with_key(bob.tenant).post(f"{T}raises/", **body).status_code == 403
    decided = enter(erin).post(f"{path}approve/").json()
    assert (decided["state"], decided["decided_by"]) == ("approved", "erin@acme.example")
    assert api.get(f"{T}quotas/{quota.pk}/standing/").json()["allowed"] == 8
    assert enter(erin).post(f"{path}refuse/").status_code == 409
    for wrong in ({"amount": 0}, {"reason": ""}, {"expires_at": "2020-01-01T00:00:00Z"}):
        assert list(errors(api.post(f"{T}raises/", **{**body, **wrong}))) == list(wrong)


def test_notices_and_reconciliations_are_read(api: Api, alice: Member, charlie: Member) -> None:
    for tenant in (alice.tenant, charlie.tenant):
        quota = Quota.set(tenant, unit="requests", window="day", limit=5, by="test")
        moment = timezone.now()
        QuotaNotice.objects.create(tenant=tenant, quota=quota, starts=moment, percent=80, at=moment)
        names = ("requests", "tokens", "cost")
        sums = {f"{name}_{side}": 7 for name in names for side in ("ledger", "usage")}
        Reconciliation.objects.create(
            tenant=tenant, day=date(2026, 1, 31), ran_at=moment, **{**sums, "tokens_usage": 9}
        )
    (notice,) = api.get(f"{T}notices/").json()["results"]
    assert notice["percent"] == 80
    (night,) = api.get(f"{T}reconciliations/", first="2026-01-01").json()["results"]
    assert (night["day"], night["difference"]) == ("2026-01-31", 2)
    assert api.get(f"{T}reconciliations/{night['id']}/").json() == night
    assert api.get(f"{T}reconciliations/", first="2026-02-01").json()["results"] == []


def test_a_refusal_is_explained_by_its_id(api: Api, alice: Member) -> None:
    now = timezone.now()
    moments = dict.fromkeys(("minute", "first_at", "last_at", "frees_at"), now)
    refusal = Refusal.objects.create(
        tenant=alice.tenant, actor="key:x", tier="rate", limit=200, used=200, count=3, **moments
    )
    key = _busy_key(alice.tenant)
    said = api.get(f"{T}refusals/ref_{refusal.pk.hex}/").json()
    assert said["id"] == f"ref_{refusal.pk.hex}"
    assert (said["tier"], said["limit"], said["count"]) == ("rate", 200, 3)
    assert "200 of 200" in said["explanation"]
    assert (said["counter"], said["still_refusing"]) == ("acme", False)
    assert said["used_by"] == [{"actor": key.actor, "name": key.name, "requests": 2, "tokens": 20}]
    (listed,) = api.get(f"{T}refusals/", tier="rate").json()["results"]
    assert listed.items() <= said.items()
    assert api.get(f"{T}refusals/", tier="ip").json()["results"] == []
    for wrong in ("ref_", "ref_zz", "x", "ref_" + "0" * 33):
        assert api.get(f"{T}refusals/{wrong}/").status_code == 404


def _busy_key(tenant: Tenant) -> ApiKey:
    """It has used two requests of ten tokens, a moment ago."""
    key, _text = issued(tenant)
    at = timezone.now() - timedelta(seconds=5)
    same = {"at": at, "counts_at": at, "tenant": tenant, "kind": "reserve", "api_key_id": key.id}
    for _ in range(2):
        LedgerEntry.objects.create(request_id=uuid4(), model="mock", tokens=10, **same)
    return key


# Usage -------------------------------------------------------------------------------------------
NOBODY = UUID(int=0)


@pytest.fixture
def used(alice: Member, charlie: Member) -> datetime:
    hour = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for tenant, model, requests in (
        (alice.tenant, "small", 5),
        (alice.tenant, "=large", 2),
        (charlie.tenant, "small", 100),
    ):
        nobody = dict.fromkeys(("team_id", "member_id", "api_key_id"), NOBODY)
        UsageHour.objects.create(
            tenant=tenant, starts=hour, model=model, requests=requests, cost=1500, **nobody
        )
    return hour


def test_usage_is_reported_over_time_and_by_group(api: Api, used: datetime) -> None:
    said = api.get(f"{T}usage/", range="24h", by="model").json()
    assert said["total"]["requests"] == 7
    assert [(g["id"], g["requests"]) for g in said["groups"]] == [("small", 5), ("=large", 2)]
    assert len(said["series"]) == 24
    assert sum(period["requests"] for period in said["series"]) == 7
    narrowed = api.get(f"{T}usage/", range="24h", model="small").json()
    assert narrowed["total"]["cost"] == 1500


def test_operators_see_all_tenants(operator: Any, used: datetime, enter: Enter) -> None:
    said = enter(operator).get("usage/", range="24h").json()
    assert {g["name"]: g["requests"] for g in said["groups"]} == {"globex": 100, "acme": 7}


@pytest.mark.django_db(transaction=True)
def test_usage_is_a_file_too(acme: Tenant, used: datetime) -> None:
    _key, text = issued(acme)
    files = {}
    with TestClient(served, base_url="http://localhost") as client:
        for form in ("csv", "json"):
            answer = client.get(
                f"{API}{T}usage/export/?range=24h&form={form}",
                headers={"Authorization": f"Bearer {text}"},
            )
            assert answer.status_code == 200
            assert "attachment" in answer.headers["Content-Disposition"]
            files[form] = answer.content
    rows = list(csv.DictReader(io.StringIO(files["csv"].decode("utf-8-sig"))))
    assert {row["model"]: row["requests"] for row in rows} == {"small": "5", "'=large": "2"}
    assert {row["model"] for row in json.loads(files["json"])} == {"small", "=large"}
    assert Event.objects.filter(action="usage:export", tenant_id=acme.id).count() == 2
