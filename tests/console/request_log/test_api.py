"""The request log in the management API: the same rows, filters and files as on the pages."""

import json
from typing import Any

import pytest
from django.test import Client

from inference.models import State
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.api.conftest import API, Api, issued
from tests.console.asked import completion, refusal
from tests.console.conftest import SignIn

LOG = f"{API}tenants/acme/requests/"


def test_a_list_and_its_next_page(acme: Tenant, bob: Member, sign_in: SignIn) -> None:
    rows = [completion(acme, seconds_ago=n, cost=7) for n in range(3)]
    client = sign_in(bob)
    first = client.get(LOG, {"limit": "2"}).json()
    assert [each["id"] for each in first["results"]] == [str(row.pk) for row in rows[:2]]
    usage = first["results"][0]["usage"]
    assert (usage["cost"], usage["status"], usage["prompt_tokens"]) == (7, 200, 12)
    rest = client.get(LOG, {"limit": "2", "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in rest["results"]] == [str(rows[2].pk)]
    assert rest["next_cursor"] is None


def test_filters_as_on_the_page(acme: Tenant, bob: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(acme, "ci", by="test")
    failed = completion(acme, state=State.FAILED, error_code="engine_died", api_key=key)
    completion(acme)
    client = sign_in(bob)
    for query in (
        {"state": "failed"},
        {"code": "502"},
        {"code": "engine_died"},
        {"key": str(key.pk)},
        {"id": str(failed.pk)[:23]},
    ):
        results = client.get(LOG, query).json()["results"]
        assert [each["id"] for each in results] == [str(failed.pk)]
    for query in ({"id": "1"}, {"cursor": "x"}, {"key": "x"}, {"ordering": "created_at"}):
        assert client.get(LOG, query).status_code == 400


def test_one_request_with_its_course(
    acme: Tenant, bob: Member, sign_in: SignIn, settings: Any
) -> None:
    settings.CURRENCY = "EUR"
    row = completion(acme, member=bob, queue_ms=100, ttft_ms=150, duration_ms=400)
    refused = refusal(acme, actor=bob.actor, tier="rate", limit=12)
    body = sign_in(bob).get(f"{LOG}{row.pk}/").json()
    assert body["currency"] == "EUR"
    assert [(span["name"], span["ms"]) for span in body["spans"]] == [
        ("queued", 100),
        ("started", 50),
        ("answered", 250),
    ]
    assert [moment["after_ms"] for moment in body["moments"]] == [0, 100, 150, 400]
    assert [(each["id"], each["tier"], each["limit"]) for each in body["refused"]] == [
        (f"ref_{refused.pk.hex}", "rate", 12)
    ]


def test_an_open_request_has_no_usage(acme: Tenant, bob: Member, sign_in: SignIn) -> None:
    row = completion(acme, state=State.OPEN)
    assert sign_in(bob).get(f"{LOG}{row.pk}/").json()["usage"] is None


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_file(acme: Tenant, globex: Tenant, bob: Member, sign_in: SignIn) -> None:
    row, _foreign = completion(acme), completion(globex)
    answer = sign_in(bob).get(f"{LOG}export/", {"form": "json"})
    assert [line["id"] for line in json.loads(b"".join(answer))] == [str(row.pk)]


def test_tenants_stay_apart_and_operators_see_all(
    acme: Tenant, globex: Tenant, bob: Member, operator: User, sign_in: SignIn
) -> None:
    row = completion(globex)
    client = sign_in(bob)
    assert client.get(f"{LOG}{row.pk}/").status_code == 404
    assert client.get(f"{API}tenants/globex/requests/").status_code == 404
    assert client.get(f"{API}requests/").status_code == 403
    everything = sign_in(operator).get(f"{API}requests/").json()["results"]
    assert [each["tenant"] for each in everything] == ["globex"]


def test_members_and_keys_see_their_own_requests_alone(
    acme: Tenant, bob: Member, dave: Member, operator: User, sign_in: SignIn
) -> None:
    address = f"{API}tenants/acme/own-requests/"
    key, text = issued(acme, ["inference"])
    program = Api(Client(), text)
    of_key = completion(acme, api_key=key)
    own, other = completion(acme, member=dave, model="large"), completion(acme, member=bob)
    client = sign_in(dave)
    assert client.get(LOG).status_code == 403
    assert [row["id"] for row in client.get(address).json()["results"]] == [str(own.pk)]
    assert client.get(address, {"model": "smollm2"}).json()["results"] == []
    assert client.get(address, {"member": str(bob.pk)}).status_code == 400
    assert client.get(f"{address}{own.pk}/").json()["usage"]["status"] == 200
    for foreign in (other, of_key):
        assert client.get(f"{address}{foreign.pk}/").status_code == 404
    path = "tenants/acme/own-requests/"
    assert [row["id"] for row in program.get(path).json()["results"]] == [str(of_key.pk)]
    assert program.get(f"{path}{own.pk}/").status_code == 404
    assert sign_in(operator).get(address).json()["results"] == []


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_file_of_ones_own_requests(
    acme: Tenant, bob: Member, dave: Member, sign_in: SignIn
) -> None:
    own, _other = completion(acme, member=dave), completion(acme, member=bob)
    answer = sign_in(dave).get(f"{API}tenants/acme/own-requests/export/", {"form": "json"})
    assert [line["id"] for line in json.loads(b"".join(answer))] == [str(own.pk)]
