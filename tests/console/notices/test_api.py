"""Targets and deliveries of the management API."""

import pytest
from django.test import Client

from tenants.key_scopes import Scope
from tenants.models import ApiKey, Member, Notice, NoticeState, NoticeTarget, User
from tenants.notices.trial import send_test
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
AT = "/api/v1/tenants/acme/"
BODY = {
    "kind": "webhook",
    "name": "operations",
    "url": "https://hooks.example.com/T0K3N",
    "groups": ["quotas"],
}


@pytest.fixture
def api(alice: Member) -> Client:
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    _key, text = ApiKey.issue(alice.tenant, "ci", by=alice.actor, created_by=alice, scopes=scopes)
    return Client(headers={"Authorization": f"Bearer {text}"})


def test_a_target_is_made_tried_and_removed(api: Client) -> None:
    made = api.post(f"{AT}notice-targets/", BODY, content_type="application/json")
    assert made.status_code == 201, made.content
    assert made.json()["secret"].startswith("whsec_")
    at = f"{AT}notice-targets/{made.json()['id']}/"
    shown = api.get(at)
    assert "secret" not in shown.json()
    assert "T0K3N" not in shown.content.decode()
    rotated = api.post(f"{at}rotate/", {"overlap_hours": 1}, content_type="application/json")
    assert rotated.json()["secret"] != made.json()["secret"]
    tag = {"If-Match": api.get(at).headers["ETag"]}
    off = api.patch(at, {"enabled": False}, content_type="application/json", headers=tag)
    assert off.json()["enabled"] is False
    assert api.post(f"{at}test/").json()["event"] == "notice.test"
    tag = {"If-Match": api.get(at).headers["ETag"]}
    assert api.delete(at, headers=tag).status_code == 204
    assert not NoticeTarget.objects.exists()


def test_one_test_in_ten_seconds_is_sent_to_each_target(api: Client, bob: Member) -> None:
    first, second = (
        api.post(
            f"{AT}notice-targets/", {**BODY, "name": name}, content_type="application/json"
        ).json()["id"]
        for name in ("one", "two")
    )
    assert api.post(f"{AT}notice-targets/{first}/test/").status_code == 201
    refused = api.post(f"{AT}notice-targets/{first}/test/")
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:forebay:problem:throttled"
    assert refused.headers["Retry-After"] == "10"
    assert api.post(f"{AT}notice-targets/{second}/test/").status_code == 201
    send_test(NoticeTarget.objects.get(pk=first), by=bob.actor)  # somebody else
    assert Notice.objects.count() == 3


def test_deliveries_are_listed_and_sent_again(api: Client) -> None:
    made = api.post(f"{AT}notice-targets/", BODY, content_type="application/json").json()
    api.post(f"{AT}notice-targets/{made['id']}/test/")
    notice = Notice.objects.get()
    again = f"{AT}notice-deliveries/{notice.pk}/redeliver/"
    assert api.post(again).status_code == 400, "it waits already"
    notice.end(NoticeState.FAILED, "refused")
    rows = api.get(f"{AT}notice-deliveries/?state=failed").json()
    assert [row["reason"] for row in rows["results"]] == ["refused"]
    assert api.post(again).json()["state"] == "waiting"


def test_a_private_address_is_named_in_the_problem(api: Client) -> None:
    body = {**BODY, "url": "https://192.168.0.1/"}
    refused = api.post(f"{AT}notice-targets/", body, content_type="application/json")
    assert refused.status_code == 400
    assert "url" in refused.content.decode()


def test_operators_have_targets_of_their_own(
    alice: Member, operator: User, sign_in: SignIn, api: Client
) -> None:
    base = "/api/v1/notice-targets/"
    client = sign_in(operator)
    made = client.post(base, {**BODY, "groups": ["deliveries"]}, content_type="application/json")
    assert made.status_code == 201, made.content
    at = f"{base}{made.json()['id']}/"
    assert made.json()["secret"].startswith("whsec_")
    assert client.post(f"{at}test/").json()["event"] == "notice.test"
    assert NoticeTarget.objects.get().tenant is None
    in_tenant = f"{AT}notice-targets/{made.json()['id']}/"
    assert api.get(in_tenant).status_code == 404
    assert api.get(base).status_code == sign_in(alice).get(base).status_code == 403
    (row,) = client.get("/api/v1/notice-deliveries/").json()["results"]
    assert row["target"] == made.json()["id"]
    assert api.get(f"{AT}notice-deliveries/").json()["results"] == []
    tag = {"If-Match": client.get(at).headers["ETag"]}
    assert client.delete(at, headers=tag).status_code == 204
