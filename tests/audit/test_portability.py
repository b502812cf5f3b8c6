"""A person's data as one file: everything that was stored, of nobody else, for a while."""

import io
import json
import zipfile
from datetime import timedelta
from hashlib import sha256
from typing import Any

import orjson
import pytest
from django.utils import timezone

from audit import exports, portability
from audit.keyring import Unreadable, destroy, keyring
from audit.models import Event, Export
from audit.sealed_file import SealedFile
from tenants.models import Tenant
from tests.audit.subjects import HOSTED, Subject, a_key, a_member, asked

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


def made(subject: Subject) -> Export:
    export = portability.ask(*subject.who, by="member:1")
    portability.work()
    export.refresh_from_db()
    assert export.state == "ready", export.problem
    return export


def opened(export: Export) -> zipfile.ZipFile:
    whole = b"".join(portability.download(export, by="member:1"))
    assert (len(whole), sha256(whole).hexdigest()) == (export.bytes, export.sha256)
    return zipfile.ZipFile(io.BytesIO(whole))


def rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{name}.jsonl").splitlines()]


def test_the_export_equals_what_was_stored(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    order = asked(alice, upstream=HOSTED)
    bob = a_member(acme, "bob")
    archive = opened(made(alice))
    assert archive.testzip() is None
    requests = {row["id"]: row for row in rows(archive, "requests")}
    assert len(requests) == 3
    found = requests[str(order.id)]
    assert found["request"] == orjson.loads(order.body)
    assert found["response"] == f"an answer to {alice.word}"
    assert found["client_ip"] == order.client_ip
    (conversation,) = rows(archive, "conversations")
    assert conversation["title"][:20] == alice.word[:20]
    assert [m["text"] for m in conversation["messages"]] == [alice.word] * 2
    assert len(rows(archive, "usage")) == 3
    assert rows(archive, "profile")[0]["email"] == "alice@acme.example"
    assert rows(archive, "memberships")[0]["role"] == "member"
    assert {row["action"] for row in rows(archive, "acts")} >= {"member:add", "subject:export"}
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["recipients"] == [HOSTED]
    assert manifest["kept_for_days"]["audit"] == 200
    for name, file in manifest["files"].items():
        assert file["sha256"] == sha256(archive.read(name)).hexdigest()
        assert file["rows"] == len(archive.read(name).splitlines())
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert bob.word.encode() not in everything
    assert b"bob@" not in everything


def test_of_many_people_each_gets_their_own(acme: Tenant) -> None:
    people = [a_member(acme, f"p{n}", texts=n % 4) for n in range(12)]
    for person in people:
        portability.ask(*person.who, by="member:1")
    portability.work()
    for n, person in enumerate(people):
        (export,) = portability.of_subject(*person.who)[:1]
        words = [
            row["request"]["messages"][0]["content"] for row in rows(opened(export), "requests")
        ]
        assert words == [person.word] * (n % 4)


def test_a_key_has_an_export_too(acme: Tenant) -> None:
    robot = a_key(acme)
    archive = opened(made(robot))
    assert len(rows(archive, "requests")) == 1
    assert rows(archive, "memberships")[0]["key"]["name"] == "robot"


def test_on_disk_it_is_sealed_under_the_persons_key(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    export = made(alice)
    assert alice.word.encode() not in exports.path_of(export).read_bytes()
    keyring.rest()
    destroy(*alice.who)
    with pytest.raises(Unreadable):
        list(portability.download(export, by="member:1"))


def test_it_is_on_record_when_asked_for_and_when_taken(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    opened(made(alice))
    acts = Event.objects.filter(action="subject:export", subject_id=alice.id)
    assert [set(a.detail) - {"export"} for a in acts.order_by("id")] == [{"asked"}, {"download"}]


def test_it_expires(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    export = made(alice)
    export.expires_at = timezone.now() - timedelta(seconds=1)
    with pytest.raises(FileNotFoundError):
        portability.download(export, by="member:1")


def test_asked_twice_it_is_made_once(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    first, second = (portability.ask(*alice.who, by="member:1") for _ in range(2))
    assert first.pk == second.pk


def test_a_full_disk_is_tried_again(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = a_member(acme, "alice")
    export = portability.ask(*alice.who, by="member:1")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SealedFile, "write", full)
        portability.work()
    export.refresh_from_db()
    assert export.state == "making"
    assert "space" in export.problem
    portability.work()
    export.refresh_from_db()
    assert export.state == "ready"
