"""Data sets through the management API, by keys and people."""

import base64
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.batch import file_store
from inference.data_sets import importing
from inference.models import ConversationUse, DataSetNotice, DataSetVersion, FilePurpose
from tenants.models import ApiKey, Member, Scope, Tenant
from tests.audit.subjects import a_key
from tests.console.api.conftest import Api
from tests.console.conftest import SignIn
from tests.inference.data_sets.conftest import chat, jsonl

pytestmark = pytest.mark.django_db(transaction=True)
SETS = "tenants/acme/data-sets/"


def with_key(tenant: Tenant, *scopes: str) -> tuple[Api, ApiKey]:
    chosen = list(scopes) or [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    key, text = ApiKey.issue(tenant, "pipeline", scopes=chosen, by="test")
    return Api(Client(), text), key


def created(api: Api, name: str = "manual") -> str:
    answer = api.post(SETS, name=name)
    assert answer.status_code == 201, answer.content
    return f"{SETS}{answer.json()['id']}/"


def piece(api: Api, version: str, number: int, content: bytes) -> Any:
    return api.post(f"{version}pieces/", number=number, content=base64.b64encode(content).decode())


def uploaded(api: Api, data_set: str, content: bytes) -> str:
    version = (
        f"{data_set}versions/{api.post(f'{data_set}versions/', format='chats').json()['number']}/"
    )
    half = len(content) // 2
    for number, part in enumerate((content[:half], content[half:])):
        assert piece(api, version, number, part).status_code == 200
    assert api.post(f"{version}finish/").json()["state"] == "importing"
    importing.import_due()
    return version


async def whole(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


def test_a_key_uploads_in_pieces_and_reads_the_report(acme: Tenant) -> None:
    api, key = with_key(acme)
    data_set = created(api)
    version = api.get(uploaded(api, data_set, jsonl([chat("one"), chat("two")]) + b"x\n")).json()
    assert (version["state"], version["rows"], version["people"]) == ("ready", 2, 0)
    assert version["report"]["problems"] == [{"line": 3, "code": "not_json"}]
    assert version["created_by"] == key.actor
    assert [one["number"] for one in api.get(f"{data_set}versions/").json()["results"]] == [1]
    assert api.get(SETS, name="manual").json()["results"][0]["latest"] == 1


def test_a_version_is_read_from_a_file_of_ones_own(acme: Tenant) -> None:
    (api, key), (other, _key) = with_key(acme), with_key(acme)
    owner = file_store.FileOwner(acme.pk, key.subject_id, key.pk, key.actor)
    writer = file_store.FileWriter(owner, FilePurpose.BATCH, "rows.jsonl")
    writer.write(jsonl([chat("one")]))
    file = writer.finish()
    versions = f"{created(api)}versions/"
    for name in (f"file-{uuid4().hex}", "file-x"):
        assert api.post(versions, format="chats", file=name).status_code == 400
    assert other.post(versions, format="chats", file=file.public_id).status_code == 400
    made = api.post(versions, format="chats", file=file.public_id)
    assert (made.status_code, made.headers["Location"]) == (201, f"/api/v1/{versions}1/")
    importing.import_due()
    assert api.get(f"{versions}1/").json()["rows"] == 1


def test_a_piece_that_is_out_of_order_broken_or_too_late_is_refused(acme: Tenant) -> None:
    api, _key = with_key(acme)
    versions = f"{created(api)}versions/"
    api.post(versions, format="texts")
    version = f"{versions}1/"
    assert piece(api, version, 1, b"x").status_code == 400
    for content in ("", "!!", base64.b64encode(b"x" * 700_001).decode()):
        answer = api.post(f"{version}pieces/", number=0, content=content)
        assert answer.status_code == 400, content[:9]
    assert piece(api, version, 0, b"x").status_code == 200
    assert api.post(f"{version}finish/").status_code == 200
    for late in (piece(api, version, 1, b"x"), api.post(f"{version}finish/")):
        assert (late.status_code, late.json()["type"][-8:]) == (409, "conflict")


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [("DATA_SET_BYTES", 413, "too_large"), ("DATA_SETS_BYTES", 409, "storage_full")],
)
def test_limits_are_told(
    acme: Tenant, settings: Settings, limit: str, status: int, code: str
) -> None:
    setattr(settings, limit, 10)
    api, _key = with_key(acme)
    versions = f"{created(api)}versions/"
    api.post(versions, format="texts")
    answer = piece(api, f"{versions}1/", 0, b"x" * 11)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:forebay:problem:{code}")


def test_texts_are_for_people_who_have_just_proven_who_they_are(
    acme: Tenant, alice: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _key = with_key(acme, *Scope.values)
    version = uploaded(api, created(api), jsonl([chat("the question")]))
    assert api.post(f"{version}samples/", reason="a look").status_code == 403  # a key
    owner = Api(sign_in(alice))
    samples = owner.post(f"{version}samples/", reason="a look").json()["samples"]
    assert samples[0] == {
        "text": "user: the question\n\nassistant: Behind the dam.",
        "is_whole": True,
    }
    answer = owner.post(f"{version}file/", reason="a copy")
    assert async_to_sync(whole)(answer) == jsonl([chat("the question")])
    assert owner.post(f"{version}samples/").status_code == 400
    reasons = Event.objects.filter(action="data_set:read").order_by("id")
    assert [event.detail["reason"] for event in reasons] == ["a look", "a copy"]
    later = timezone.now().timestamp() + 3600
    monkeypatch.setattr("console.account.reauthentication.time.time", lambda: later)
    assert owner.post(f"{version}file/", reason="a copy").status_code == 403


def test_conversations_are_chosen_with_leave(acme: Tenant, alice: Member, sign_in: SignIn) -> None:
    robot, owner = a_key(acme), Api(sign_in(alice))
    data_set, hour = created(owner), timedelta(hours=1)
    now = timezone.now()
    choice = {
        "origins": ["requests"],
        "since": (now - hour).isoformat(),
        "until": (now + hour).isoformat(),
        "reason": "approved answers",
    }
    assert owner.post(f"{data_set}select/", **choice).status_code == 403
    rule = "tenants/acme/conversation-use/"
    assert owner.patch(rule, allowed=True).status_code == 400
    assert owner.patch(rule, allowed=True, reason="works agreement 7").status_code == 200
    assert owner.get(rule).json()["changed_by"] == alice.actor
    made = owner.post(f"{data_set}select/", **choice)
    assert (made.status_code, made.headers["Location"]) == (201, f"/api/v1/{data_set}versions/1/")
    importing.import_due()
    samples = owner.post(f"{data_set}versions/1/samples/", reason="a look").json()["samples"]
    assert robot.word in samples[0]["text"]
    backwards = {**choice, "since": choice["until"]}
    assert owner.post(f"{data_set}select/", **backwards).status_code == 400


def test_versions_and_data_sets_are_deleted(acme: Tenant) -> None:
    api, _key = with_key(acme)
    data_set = created(api)
    version = uploaded(api, data_set, jsonl([chat("one")]))
    assert api.delete(version).status_code == 204
    assert api.get(version).status_code == 404
    assert api.delete(data_set).status_code == 204
    assert api.get(data_set).status_code == 404
    assert api.get(f"{data_set}versions/").status_code == 404
    assert created(api)
    assert api.post(SETS, name="manual").status_code == 409


def test_notices_name_nobody(acme: Tenant, globex: Tenant, bob: Member) -> None:
    for tenant in (acme, globex):
        DataSetNotice.objects.create(
            tenant=tenant, kind="purged", name=f"{tenant.name}@1", subject_id=bob.subject_id, rows=3
        )
    api, _key = with_key(acme)
    (notice,) = api.get("tenants/acme/data-set-notices/").json()["results"]
    assert (notice["name"], notice["rows"]) == ("acme@1", 3)
    assert notice["owner"] == str(bob.subject_id)


def test_nothing_of_it_exists_for_a_stranger(acme: Tenant, globex: Tenant) -> None:
    (api, _key), (charlie, _other) = with_key(acme), with_key(globex)
    data_set = created(api)
    version = uploaded(api, data_set, jsonl([chat("one")]))
    assert charlie.get(version).status_code == 404
    for address in (data_set, f"{data_set}versions/", version):
        assert charlie.get(address.replace("acme", "globex")).status_code == 404
    assert charlie.get(SETS.replace("acme", "globex")).json()["results"] == []
    assert DataSetVersion.objects.get().rows == 1
    assert not ConversationUse.objects.exists()
    assert orjson.loads(charlie.get("tenants/globex/conversation-use/").content)["allowed"] is False
