"""Pages of data sets: an upload, its report, texts with a reason, leave for conversations."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone, translation
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.models import Event
from inference.data_sets import importing
from inference.models import (
    ConversationUse,
    DataSet,
    DataSetNotice,
    DataSetState,
    DataSetVersion,
)
from tenants.models import Member, User
from tests.audit.subjects import a_key
from tests.console.conftest import SignIn
from tests.inference.data_sets.conftest import chat, jsonl, texts

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/console/t/acme/data-sets/"


def file(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("rows.jsonl", content)


def created(client: Client, name: str = "manual") -> str:
    """The address of a new data set."""
    answer: Any = client.post(f"{LIST}addition/", {"name": name})
    assert answer.status_code == 302
    return str(answer["Location"])


def uploaded(client: Client, page: str, content: bytes, form: str = "chats") -> DataSetVersion:
    answer = client.post(f"{page}upload/", {"form": form, "file": file(content), "is_last": "on"})
    assert (answer.status_code, answer["Location"]) == (302, page)
    importing.import_due()
    return DataSetVersion.objects.latest("number")


def test_a_developer_uploads_a_file_and_sees_its_report(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    page = created(client)
    version = uploaded(client, page, jsonl([chat("first")]) + b"no JSON\n")
    assert version.data_set.subject_id == bob.subject_id
    shown = client.get(f"{page}versions/1/").content.decode()
    for words in ("Ready", "No JSON: 1", "Line 2", "bob@acme.example"):
        assert words in shown
    assert "first" not in shown
    assert "manual" in client.get(LIST).content.decode()


def test_what_failed_says_why(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    page = created(client)
    uploaded(client, page, b"PK\x03\x04 broken", "markdown")
    assert "The archive is broken." in client.get(f"{page}versions/1/").content.decode()
    with translation.override("zh-hans"):
        client.cookies["django_language"] = "zh-hans"
        assert "该压缩包已损坏" in client.get(f"{page}versions/1/").content.decode()


def test_a_script_sends_a_large_file_in_pieces(bob: Member, sign_in: SignIn) -> None:
    client, content = sign_in(bob), jsonl([chat("one"), chat("two")])
    page = created(client)
    first = client.post(f"{page}upload/", {"form": "chats", "file": file(content[:50])})
    pieces = first.json()["pieces"]
    assert client.post(pieces, {"piece": "2", "file": file(b"x")}).status_code == 409
    assert client.post(pieces, {"piece": "x", "file": file(b"x")}).status_code == 400
    for status in (204, 409):  # the upload is over then
        last = {"piece": "1", "file": file(content[50:]), "is_last": "on"}
        assert client.post(pieces, last).status_code == status
    importing.import_due()
    assert DataSetVersion.objects.get().rows == 2


def test_a_full_storage_is_told(bob: Member, sign_in: SignIn, settings: Settings) -> None:
    settings.DATA_SETS_BYTES = 10
    client = sign_in(bob)
    page = created(client)
    answer = client.post(f"{page}upload/", {"form": "chats", "file": file(b"x" * 99)})
    assert "The data sets of this tenant are full." in answer.content.decode()
    assert not DataSetVersion.objects.exists()


@pytest.mark.parametrize("name", ["Manual", "a b", "", "manual"])
def test_a_bad_or_taken_name_is_refused(bob: Member, sign_in: SignIn, name: str) -> None:
    client = sign_in(bob)
    created(client)
    assert client.post(f"{LIST}addition/", {"name": name}).status_code == 200
    assert DataSet.objects.count() == 1


def test_texts_are_read_with_a_reason_and_on_record(
    bob: Member, carol: Member, sign_in: SignIn
) -> None:
    page = created(sign_in(bob))
    uploaded(sign_in(bob), page, jsonl([chat("the question")]))
    auditor = sign_in(carol)
    for act in ("samples/", "download/"):
        assert b"the question" not in auditor.post(f"{page}versions/1/{act}").content
    shown = auditor.post(f"{page}versions/1/samples/", {"reason": "a look"})
    assert "the question" in shown.content.decode()
    answer: Any = auditor.post(f"{page}versions/1/download/", {"reason": "a copy"})
    assert answer["Content-Disposition"] == 'attachment; filename="manual-1.jsonl"'
    events = Event.objects.filter(action=Action.DATA_SET_READ, actor=carol.actor)
    assert [event.detail["reason"] for event in events.order_by("id")] == ["a look", "a copy"]


def test_an_old_proof_of_identity_does_not_do(
    bob: Member, carol: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = created(sign_in(bob))
    uploaded(sign_in(bob), page, jsonl([chat("the question")]))
    auditor = sign_in(carol)
    later = timezone.now().timestamp() + 3600
    monkeypatch.setattr("console.account.reauthentication.time.time", lambda: later)
    answer = auditor.post(f"{page}versions/1/samples/", {"reason": "a look"})
    assert (answer.status_code, "/account/proof/" in answer["Location"]) == (302, True)


def test_conversations_are_chosen_only_with_the_owners_leave(
    alice: Member, bob: Member, carol: Member, sign_in: SignIn
) -> None:
    robot = a_key(alice.tenant)
    page, hour = created(sign_in(bob)), timedelta(hours=1)
    now = timezone.now()
    choice = {
        "origins": ["requests"],
        "since": f"{now - hour:%Y-%m-%dT%H:%M}",
        "until": f"{now + hour:%Y-%m-%dT%H:%M}",
        "reason": "approved answers",
    }
    refused = sign_in(carol).post(f"{page}selection/", choice).content.decode()
    assert "does not let its recorded conversations be used" in refused
    leave = {"allowed": "on", "reason": "works agreement 7"}
    assert sign_in(bob).post(f"{LIST}conversations/", leave).status_code == 403
    assert sign_in(alice).post(f"{LIST}conversations/", leave).status_code == 302
    assert ConversationUse.objects.get().reason == "works agreement 7"
    assert sign_in(bob).post(f"{page}selection/", choice).status_code == 403
    assert sign_in(carol).post(f"{page}selection/", choice).status_code == 302
    importing.import_due()
    assert robot.word in texts(DataSetVersion.objects.get())[0]


def test_versions_and_data_sets_are_deleted(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    page = created(client)
    uploaded(client, page, jsonl([chat("first")]))
    assert client.post(f"{page}versions/1/deletion/").status_code == 302
    assert client.get(f"{page}versions/1/").status_code == 404
    assert DataSetVersion.objects.get().state == DataSetState.DELETED
    assert client.post(f"{page}deletion/").status_code == 302
    assert client.get(page).status_code == 404


def test_a_notice_is_shown_to_the_tenant_and_marked_for_its_owner(
    alice: Member, bob: Member, charlie: Member, sign_in: SignIn
) -> None:
    created(sign_in(bob))
    DataSetNotice.objects.create(
        tenant=bob.tenant, kind="purged", name="manual@1", subject_id=bob.subject_id, rows=3
    )
    assert "yours" in sign_in(bob).get(LIST).content.decode()
    others = sign_in(alice).get(LIST).content.decode()
    assert "manual@1" in others
    assert "yours" not in others
    elsewhere = sign_in(charlie).get("/console/t/globex/data-sets/").content.decode()
    assert "manual" not in elsewhere


def test_nothing_of_it_exists_for_a_stranger(
    bob: Member, charlie: Member, operator: User, sign_in: SignIn
) -> None:
    page = created(sign_in(bob))
    uploaded(sign_in(bob), page, jsonl([chat("first")]))
    stranger = sign_in(charlie)
    for address in (LIST, page, f"{page}versions/1/"):
        assert stranger.get(address).status_code == 404
        other = address.replace("/acme/", "/globex/")
        assert stranger.get(other).status_code == (200 if address == LIST else 404)
    for act in ("upload/", "deletion/", "versions/1/samples/", "versions/1/pieces/"):
        assert stranger.post(page.replace("/acme/", "/globex/") + act).status_code == 404
    assert sign_in(operator).get(page).status_code == 200  # figures, no texts
    assert sign_in(operator).post(f"{page}versions/1/samples/").status_code == 403
