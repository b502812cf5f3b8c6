"""What holds everywhere: one shape of errors, nothing unknown, JSON only, methods, bounds."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from starlette.testclient import TestClient

from inference.validation import bounded_json
from inference.validation.bounded_json import MOST_CONTAINERS, MOST_TEXTS, MOST_VALUES
from tenants.models import ApiKey, Member, Team
from tests.console.api.conftest import API, PROBLEM, Api, Enter, errors, served

TEAMS = "tenants/acme/teams/"


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


def raw(api: Api, body: bytes, kind: str = "application/json", **headers: str) -> Any:
    return api.client.generic("POST", API + TEAMS, body, kind, headers=headers)


def test_an_error_says_what_is_wrong_with_which_field(api: Api) -> None:
    answer = api.post("tenants/acme/keys/", name="", scopes=["root", "inference"], burst=-1)
    said = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert said["type"] == "urn:forebay:problem:invalid"
    assert (said["status"], said["title"]) == (400, "Bad Request")
    assert said["instance"] == "/api/v1/tenants/acme/keys/"
    assert set(said["errors"]) == {"name", "scopes.0", "burst"}


@pytest.mark.parametrize("host", ["elsewhere.example", "x 'GAT", ""])
def test_a_host_that_is_not_ours_is_a_problem_too(host: str) -> None:
    answer = Client().get(f"{API}me/", headers={"host": host})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert "FOREBAY_ALLOWED_HOSTS" in answer.json()["detail"]
    page = Client().get("/login/", headers={"host": host, "accept-language": "zh-hans"})
    assert (page.status_code, page.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "FOREBAY_ALLOWED_HOSTS" in page.text


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nothing",
        b'{"name": "a" "b"}',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b"[" * 5000,
        b'["name"]',
        b'"name"',
        b"7",
        b"null",
        b'{"name": 7}',
        b'{"name": true}',
        b'{"name": null}',
        b'{"name": ["a"]}',
        b'{"name": {}}',
        b'{"name": " "}',
        b'{"name": "%b"}' % (b"x" * 81),
        b"{}",
        b"",
    ],
)
def test_a_body_that_is_not_as_declared_is_refused(api: Api, body: bytes) -> None:
    answer = raw(api, body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert not Team.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": [%b0]}' % (b"[]," * MOST_CONTAINERS),
        b'{"name": [%b0]}' % (b"0," * (MOST_VALUES + 1)),
        b'{"name": [%b0]}' % (b'"a",' * (MOST_TEXTS + 1)),
    ],
    ids=["lists", "numbers", "texts"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_read(
    api: Api, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = SimpleNamespace(loads=lambda _: pytest.fail("it was read"))
    monkeypatch.setattr(bounded_json, "orjson", unread)
    answer = raw(api, body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert "This has too many values." in answer.text


@pytest.mark.parametrize("field", ["requests_per_minute", "burst", "expires_at", "scopes", "team"])
@pytest.mark.parametrize("value", ["7", 1.5, True, 2**31, 10**30, [None], {"a": 1}])
def test_no_value_is_bent_into_shape(api: Api, field: str, value: Any) -> None:
    answer = api.post("tenants/acme/keys/", **{"name": "build", field: value})
    assert answer.status_code == 400
    assert list(errors(answer))[0].split(".")[0] == field
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "tenants/acme/teams/?color=red",
        "tenants/acme/teams/?name=a&name=b",
        "tenants/acme/teams/?name=",
        "tenants/acme/teams/?member=7",
        "tenants/acme/teams/?limit=0",
        "tenants/acme/teams/?limit=201",
        "tenants/acme/teams/?limit=9999999999999999999999",
        "tenants/acme/teams/?ordering=group",
        "tenants/acme/keys/?state=strange",
        "tenants/acme/keys/?tenant=globex",
        "tenants/acme/events/?since=yesterday",
        "tenants/acme/?expand=members",
        "tenants/acme/usage/?by=tenant",
        "tenants/acme/usage/?range=custom",
        "tenants/acme/usage/?first=2026-01-01",
        "tenants/acme/usage/?range=custom&first=2026-02-01&last=2026-01-01",
        "tenants/acme/usage/export/",
        "me/?format=xml",
    ],
)
def test_unknown_and_wrong_parameters_are_refused(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert errors(answer)


def test_spaces_around_a_text_count_for_its_length(api: Api) -> None:
    """They are taken away, and the schema's `maxLength` knows nothing of that."""
    refused = api.post("tenants/acme/restricted-models/", name=f"{'x' * 120} ")
    assert refused.status_code == 400
    assert "at most 120" in errors(refused)["name"][0]
    assert (
        api.post("tenants/acme/restricted-models/", name=f" {'x' * 118} ").json()["name"]
        == "x" * 118
    )


def test_only_json_comes_in_and_goes_out(api: Api) -> None:
    assert raw(api, b"name=a", "application/x-www-form-urlencoded").status_code == 415
    assert raw(api, b"<a/>", "text/xml").status_code == 415
    assert api.get("me/", {"Accept": "text/html"}).status_code == 406
    assert api.get("me/", {"Accept": "*/*"}).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options", "trace"])
def test_a_method_that_is_not_there_names_those_that_are(api: Api, method: str) -> None:
    answer = getattr(api.client, method)(API + TEAMS)
    assert answer.status_code == 405
    assert {m.strip() for m in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}
    assert answer.headers["Content-Type"] == PROBLEM


@pytest.mark.parametrize("path", ["nothing/", "tenants/acme/keys", "tenants/acme/keys/7/", ""])
def test_where_nothing_is_there_is_a_problem_too(api: Api, path: str) -> None:
    for answer in (api.get(path), api.post(path)):
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, PROBLEM)


def test_answers_are_kept_by_nobody(api: Api) -> None:
    assert "no-store" in api.get("me/").headers["Cache-Control"]
    assert "no-store" in api.get("tenants/globex/").headers["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_bodies_and_paths_are_bounded_before_anybody_looks() -> None:
    with TestClient(served, base_url="http://localhost") as client:
        huge = client.post(f"{API}tenants/", content=b'{"name":"' + b"x" * 2**20 + b'"}')
        assert (huge.status_code, huge.headers["content-type"]) == (413, PROBLEM)
        assert client.get(f"{API}tenants/?name=%00").status_code == 400
        assert client.get(f"{API}tenants/%00/").headers["content-type"] == PROBLEM


# Mass assignment ---------------------------------------------------------------------------------
NIL = "00000000-0000-0000-0000-000000000000"
SMUGGLED = {
    "id": NIL,
    "tenant": "globex",
    "tenant_id": NIL,
    "priority": 9,
    "weight": 100,
    "quota": 10**9,
    "is_staff": True,
    "is_superuser": True,
    "is_operator": True,
    "created_by": NIL,
    "digest": "00",
    "public_id": "a" * 12,
    "group": 1,
    "state": "active",
    "user": 1,
    "subject_id": NIL,
    "actor": "command:x",
    "revoked_at": None,
    "__proto__": {},
}
BODIES: dict[str, dict[str, Any]] = {
    "POST tenants/acme/keys/": {"name": "build"},
    "POST tenants/acme/teams/": {"name": "search"},
    "POST tenants/acme/invitations/": {"email": "new@acme.example", "role": "member"},
    "POST tenants/acme/quotas/": {"unit": "tokens", "window": "day", "limit": 5},
    "POST tenants/acme/restricted-models/": {"name": "large"},
    "PATCH tenants/acme/": {"local_only": True},
    "PATCH tenants/acme/limits/": {"burst": 1},
    "PATCH tenants/acme/members/{bob}/": {"role": "auditor"},
    "PATCH tenants/acme/keys/{key}/": {"name": "other"},
    "PATCH tenants/acme/quotas/{quota}/": {"limit": 7},
    "POST tenants/acme/keys/{key}/rotate/": {"overlap_s": 5},
    "POST tenants/acme/suspend/": {"reason": "x"},
    "POST tenants/": {"name": "new"},
    "PATCH tiers/vip/": {"burst": 1},
    "POST prices/": {"model": "m", "prompt": "1", "cached": "1", "completion": "1"},
}


@pytest.mark.parametrize("row", BODIES)
def test_no_field_is_smuggled_in(
    row: str, alice: Member, bob: Member, operator: Any, enter: Enter
) -> None:
    from tenants.models import Quota

    quota = Quota.set(alice.tenant, unit="requests", window="day", limit=1, by="test")
    key, _text = ApiKey.issue(alice.tenant, "build", by="test")
    method, path = row.format(bob=bob.pk, key=key.pk, quota=quota.pk).split()
    api = enter(operator)
    before = _everything()
    own = set(BODIES[row]) | ({"weight"} if "tiers" in path else set())
    for name, value in SMUGGLED.items():
        if name not in own:
            body = {**BODIES[row], name: value}
            tag = {"If-Match": api.get(path).headers["ETag"]} if method == "PATCH" else {}
            answer = api.send(method.lower(), path, body, tag)
            assert answer.status_code == 400, (name, answer.content)
            assert list(errors(answer)) == [name]
    assert _everything() == before


def _everything() -> str:
    from django.apps import apps

    rows = [
        list(model._default_manager.order_by("pk").values())
        for model in apps.get_app_config("tenants").get_models()
    ]
    return json.dumps(rows, default=str)
