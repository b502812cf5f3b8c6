"""The audit trail at the management API: found, proven, exported, kept as long as it must be."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from audit.checks import verified_export
from audit.exports import export_file, trail_export
from audit.models import Event, Export, LegalHold
from audit.proof import seal
from audit.retention import legal_hold
from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests.console.api.conftest import Api, Enter, errors
from tests.console.conftest import join, prove

T = "tenants/acme/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FOREBAY_HOME = tmp_path
    monkeypatch.setattr(export_file, "wake", lambda task: None)


@pytest.fixture
def auditor(carol: Member, enter: Enter) -> Api:
    return enter(carol)


def event(tenant: Tenant, **given: Any) -> Event:
    fields: dict[str, Any] = {
        "at": timezone.now(),
        "action": "completion:completed",
        "actor": "key:x",
        "tenant_id": tenant.id,
        "request_id": uuid4(),
    }
    return Event.objects.create(**{**fields, **given})


def ids(answer: Any) -> list[Any]:
    return [one["id"] for one in answer.json()["results"]]


def in_days(days: float) -> str:
    return (timezone.now() + timedelta(days=days)).isoformat()


# Events ------------------------------------------------------------------------------------------
SUBJECT, REQUEST, KEY = str(uuid4()), str(uuid4()), str(uuid4())


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"subject": SUBJECT}, {"subject_id": SUBJECT}),
        ({"key": KEY}, {"actor": f"key:{KEY}"}),
        ({"actor": "member:a"}, {"actor": "member:a"}),
        ({"request_id": REQUEST}, {"request_id": REQUEST}),
        ({"model": "llama"}, {"model": "llama"}),
        ({"route": "/v1/x"}, {"route": "/v1/x"}),
        ({"status": 502}, {"status": 502}),
        ({"client_ip": "192.0.2.77"}, {"client_net": "192.0.2.0"}),
        ({"outcome": "failed"}, {"success": False}),
        ({"action": "api_key:rotate"}, {"action": "api_key:rotate"}),
    ],
)
def test_events_are_found_by(
    acme: Tenant, globex: Tenant, auditor: Api, query: dict[str, Any], fields: dict[str, Any]
) -> None:
    event(acme)
    event(globex, **{**fields, "request_id": uuid4()})
    mine = event(acme, **fields)
    assert ids(auditor.get(T + "events/", **query)) == [mine.id]


@pytest.mark.parametrize("ordering", ["-at", "at"])
def test_every_event_once_page_by_page(acme: Tenant, auditor: Api, ordering: str) -> None:
    expected = [event(acme, model="m").id for _ in range(25)]
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        asked = {"model": "m", "ordering": ordering, "limit": 7, **cursor}
        answer = auditor.get(T + "events/", **asked)
        found += ids(answer)
        if not (following := answer.json()["next_cursor"]):
            break
        cursor = {"cursor": following}
    assert found == (expected if ordering == "at" else expected[::-1])


def test_a_cursor_is_of_its_list(acme: Tenant, auditor: Api) -> None:
    for _ in range(5):
        event(acme)
    cursor = auditor.get(T + "events/", limit=2).json()["next_cursor"]
    for query in ({"ordering": "at"}, {"model": "m"}, {"cursor": "x" + cursor}):
        answer = auditor.get(T + "events/", **{"cursor": cursor, **query})
        assert (answer.status_code, list(errors(answer))) == (400, ["cursor"])


@pytest.mark.parametrize(
    "query",
    [
        {"client_ip": "here"},
        {"status": "x"},
        {"status": 1.5},
        {"status": -1},
        {"limit": 0},
        {"ordering": "id"},
        {"since": "yesterday"},
        {"kind": "x"},
    ],
)
def test_a_wrong_question_is_refused(auditor: Api, query: dict[str, Any]) -> None:
    answer = auditor.get(T + "events/", **query)
    assert (answer.status_code, list(errors(answer))) == (400, list(query))


@pytest.mark.django_db(transaction=True)
def test_an_event_comes_with_its_proof(alice: Member, enter: Enter, globex: Tenant) -> None:
    mine, theirs = event(alice.tenant), event(globex)
    api = enter(alice)
    assert api.get(f"{T}events/{mine.id}/").json()["proof"]["standing"] == "unsealed"
    seal.seal_due()
    proof = api.get(f"{T}events/{mine.id}/").json()["proof"]
    assert proof["standing"] == "sealed"
    assert proof["checkpoint"] >= 1
    assert api.get(f"{T}events/{theirs.id}/").status_code == 404


# Exports -----------------------------------------------------------------------------------------
def test_a_key_for_audits_exports(acme: Tenant, with_key: Enter) -> None:
    event(acme, model="llama")
    api = with_key(acme, ["audit:read"])
    made = api.post(T + "audit-exports/", form="csv", model="llama")
    assert made.status_code == 201
    assert made.json()["state"] == "making"
    path = f"{T}audit-exports/{made.json()['id']}/"
    assert api.get(path + "file/").status_code == 404
    trail_export.work()
    assert api.get(path).json()["state"] == "ready"
    assert b"llama" in whole(api.get(path + "file/"))
    assert ids(api.get(T + "audit-exports/")) == [made.json()["id"]]
    assert api.delete(path).status_code == 204
    assert not Export.objects.exists()
    assert Event.objects.filter(action="audit:export").count() == 3


def test_an_export_is_verified_where_that_is_asked_for(acme: Tenant, auditor: Api) -> None:
    made = auditor.post(T + "audit-exports/", form="jsonl", verify=True)
    assert (made.status_code, made.json()["verified"]) == (201, None)
    trail_export.work(verified_export.verified)
    verified = auditor.get(f"{T}audit-exports/{made.json()['id']}/").json()["verified"]
    assert (verified["ok"], verified["findings"]) == (True, [])
    assert auditor.post(T + "audit-exports/", form="csv", verify=True).status_code == 400


def whole(answer: Any) -> bytes:
    async def gathered() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(gathered)()


def test_a_file_wants_a_fresh_proof(carol: Member, auditor: Api) -> None:
    path = f"{T}audit-exports/{auditor.post(T + 'audit-exports/', form='csv').json()['id']}/"
    trail_export.work()
    prove(auditor.client, carol.user, 3600)
    assert auditor.get(path + "file/").status_code == 403
    prove(auditor.client, carol.user)
    assert auditor.get(path + "file/").status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"form": "xml"}, {"form": "csv", "client_ip": "x"}, {"form": "csv", "status": "5"}],
)
def test_a_wrong_export_is_none(auditor: Api, body: dict[str, Any]) -> None:
    assert auditor.post(T + "audit-exports/", **body).status_code == 400
    assert not Export.objects.exists()


# Retention ---------------------------------------------------------------------------------------
def test_retention_is_seen_previewed_and_changed(alice: Member, enter: Enter) -> None:
    api, path = enter(alice), f"{T}retention/audit/"
    rules = {one["data_class"]: one for one in api.get(T + "retention/").json()["results"]}
    assert {"audit", "conversations", "requests", "usage", "exports", "refusals"} <= set(rules)
    assert (rules["audit"]["days"], rules["audit"]["floor_days"]) == (200, 184)
    assert api.patch(path, days=400).json()["days"] == 400
    event(alice.tenant, at=timezone.now() - timedelta(days=300))
    seen = api.get(path + "preview/", days=200).json()
    assert list(seen["months"].values()) == [{"events": 1}]
    assert Tenant.objects.get().retention_days == 400
    assert api.get(f"{T}retention/nothing/").status_code == 404


@pytest.mark.parametrize("days", [-1, 0, 1, 183, 36_501])
def test_nobody_goes_below_the_floor(alice: Member, enter: Enter, days: int) -> None:
    api, path = enter(alice), f"{T}retention/audit/"
    for answer in (
        api.patch(path, days=days),
        api.get(path + "preview/", days=days),
        api.patch(T, retention_days=days),
    ):
        assert answer.status_code == 400
    assert Tenant.objects.get().retention_days == 200
    assert api.patch(path, tag='"other"', days=300).status_code == 412
    assert api.patch(path, tag="", days=300).status_code == 428


@pytest.mark.parametrize("who", ["carol", "erin", "bob"])
def test_only_who_may_changes_it(
    who: str, request: pytest.FixtureRequest, acme: Tenant, enter: Enter, with_key: Enter
) -> None:
    for api in (enter(request.getfixturevalue(who)), with_key(acme)):
        assert api.patch(f"{T}retention/audit/", '"x"', days=300).status_code == 403


# Holds -------------------------------------------------------------------------------------------
def test_one_places_another_approves(acme: Tenant, auditor: Api, enter: Enter) -> None:
    made = auditor.post(T + "holds/", reason="Case 4711", expires_at=in_days(30))
    assert (made.status_code, made.json()["in_force"]) == (201, True)
    path = f"{T}holds/{made.json()['id']}/"
    assert auditor.post(path + "approve/").json()["type"].endswith("same_person")
    other = enter(join(acme, "frank@acme.example", Role.AUDITOR))
    assert other.post(path + "approve/").json()["approved_at"]
    assert other.post(path + "approve/").status_code == 409
    later = in_days(60)
    assert other.post(path + "renew/", expires_at=later).json()["renewed"] == 1
    assert auditor.post(path + "renew/", expires_at=in_days(700)).status_code == 400
    assert other.post(path + "renew/", expires_at=in_days(90)).status_code == 409
    assert auditor.post(path + "release/").status_code == 400
    asked = auditor.post(path + "release/", reason="closed").json()
    assert (asked["in_force"], asked["release_reason"]) == (True, "closed")
    assert auditor.post(path + "release/").json()["type"].endswith("same_person")
    assert legal_hold.in_force(acme.id)
    assert other.post(path + "release/").json()["in_force"] is False
    assert other.post(path + "release/", reason="closed").status_code == 409
    assert legal_hold.in_force(acme.id) is None


def test_keys_only_look(acme: Tenant, with_key: Enter) -> None:
    placed = legal_hold.request(
        acme.id, by="a", reason="x", expires_at=timezone.now() + timedelta(days=3)
    )
    api = with_key(acme)
    assert ids(api.get(T + "holds/")) == [str(placed.id)]
    assert api.post(T + "holds/", reason="x", expires_at=in_days(3)).status_code == 403
    for act in ("approve", "renew", "release"):
        assert api.post(f"{T}holds/{placed.id}/{act}/").status_code == 403
    assert LegalHold.objects.count() == 1


def test_of_another_tenant_there_is_nothing(
    auditor: Api, globex: Tenant, operator: User, enter: Enter
) -> None:
    placed = legal_hold.request(
        globex.id, by="a", reason="x", expires_at=timezone.now() + timedelta(days=3)
    )
    assert auditor.get(f"{T}holds/{placed.id}/").status_code == 404
    assert auditor.post(f"{T}holds/{placed.id}/approve/").status_code == 404
    assert auditor.get("tenants/globex/holds/").status_code == 404
    assert enter(operator).get(f"tenants/globex/holds/{placed.id}/").status_code == 200
