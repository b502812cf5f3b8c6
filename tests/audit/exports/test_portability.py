"""A person's data as one file: everything that was stored, of nobody else, for a while."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit.actions import Action
from audit.erasure import deletion, execution
from audit.exports import export_file, portability
from audit.exports.portability import Portable
from audit.keys.encrypted_file import EncryptedFile
from audit.keys.keyring import Barred, Unreadable, destroy, keyring
from audit.keys.master_keys.errors import MasterKeyAway
from audit.models import Event, Export
from audit.retention import legal_hold
from audit.search import text_search, texts
from audit.trail.record import act
from inference.personal_data import portability as personal
from infrastructure.postgres.queries import value
from tenants.models import Tenant
from tenants.roles import Role
from tests.audit.subjects import HOSTED, Subject, a_key, a_member, asked

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_no_transaction_is_open_while_it_is_made(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with an id would delay the seals of all tenants."""
    ids = list[Any]()

    def spy(tenant_id: UUID, subject_id: UUID) -> Iterator[dict[str, Any]]:
        ids.append(value("select pg_current_xact_id_if_assigned()"))
        yield {"in_transaction": connection.in_atomic_block}

    monkeypatch.setitem(portability._known, "spy", Portable("spy", spy))
    archive = opened(made(a_member(acme, "alice")))
    assert ids == [None]
    assert rows(archive, "spy") == [{"in_transaction": False}]


def test_an_erasure_meanwhile_leaves_neither_row_nor_file(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = portability.ask(*a_member(acme, "alice").who, by="member:1")

    def erased(tenant_id: UUID, subject_id: UUID) -> Iterator[dict[str, Any]]:
        export_file.purge(Export.objects.filter(subject_id=subject_id))
        yield {}

    monkeypatch.setitem(portability._known, "spy", Portable("spy", erased))
    portability.work()
    assert not Export.objects.filter(pk=export.pk).exists()
    assert not export_file.path_of(export).exists()


def test_large_texts_are_read_some_at_a_time(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, sizes, read = a_member(acme, "alice", texts=3), list[int](), personal._with_texts
    monkeypatch.setattr(texts, "PORTION", 1)

    def counted(tenant_id: UUID, events: list[Event]) -> Any:
        sizes.append(len(events))
        return read(tenant_id, events)

    monkeypatch.setattr(personal, "_with_texts", counted)
    requests = rows(opened(made(alice)), "requests")
    assert sizes == [1, 1, 1]
    words = [row["request"]["messages"][0]["content"] for row in requests]
    assert words == [alice.word] * 3


def test_on_disk_it_is_sealed_under_the_persons_key(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    export = made(alice)
    assert alice.word.encode() not in export_file.path_of(export).read_bytes()
    keyring.close()
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
        patch.setattr(EncryptedFile, "write", full)
        portability.work()
    export.refresh_from_db()
    assert export.state == "making"
    assert "space" in export.problem
    portability.work()
    export.refresh_from_db()
    assert export.state == "ready"


def test_one_that_fails_keeps_nobody_waiting(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    hers, his = (portability.ask(*person.who, by="member:1") for person in (alice, bob))
    write = portability._write

    def broken(export: Export) -> None:
        if export.pk == hers.pk:
            raise ValueError("a row that cannot be told")
        write(export)

    monkeypatch.setattr(portability, "_write", broken)
    portability.work()
    his.refresh_from_db()
    assert his.state == "ready"
    for state in ("making", "making", "failed"):
        hers.refresh_from_db()
        assert "cannot be told" in hers.problem
        assert hers.state == ("making" if state == "making" else hers.state)
        portability.work()
    hers.refresh_from_db()
    assert hers.state == "failed"
    assert portability.ask(*alice.who, by="member:1").pk != hers.pk


def test_one_that_kills_its_process_is_given_up(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = portability.ask(*a_member(acme, "alice").who, by="member:1")

    def killed(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(portability, "_write", killed)
    for _n in range(3):
        with pytest.raises(SystemExit):
            portability.work()
    portability.work()
    export.refresh_from_db()
    assert (export.state, export.problem) == ("failed", "broken off each time")


def test_while_a_kms_is_away_it_waits(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    export = portability.ask(*a_member(acme, "alice").who, by="member:1")

    def away(*_: Any) -> None:
        raise MasterKeyAway("the KMS answered 503: Vault is encrypted")

    with monkeypatch.context() as patch:
        patch.setattr(portability, "_write", away)
        for _n in range(5):
            portability.work()
    portability.work()
    export.refresh_from_db()
    assert export.state == "ready"


def test_of_one_person_a_few_are_kept(acme: Tenant) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    his = made(bob)
    made_ = [made(alice) for _n in range(5)]
    kept = [export.pk for export in portability.of_subject(*alice.who)]
    assert kept == [export.pk for export in reversed(made_[2:])]
    assert [export_file.path_of(export).exists() for export in (his, *made_)] == [True] + [
        False,
        False,
        True,
        True,
        True,
    ]


def test_it_tells_of_no_hold_and_of_nobodys_reasons(acme: Tenant) -> None:
    alice = a_member(acme, "alice")
    now = timezone.now()
    legal_hold.request(
        acme.id,
        by="member:2",
        subject_id=alice.id,
        reason="inquiry FK-4711, informant: Bob Brown",
        expires_at=now + timedelta(days=3),
    )
    deletion.ask(*alice.who, by="member:3", reason="they left, says Bob Brown")
    text_search.search(
        acme.id,
        "alice",
        by="member:3",
        reason="Bob Brown complained",
        since=now - timedelta(days=1),
        until=now + timedelta(minutes=1),
        subject_id=alice.id,
    )
    archive = opened(made(alice))
    acts = rows(archive, "acts")
    assert {"deletion:request", "audit:search"} <= {row["action"] for row in acts}
    everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"hold", b"Bob Brown", b"FK-4711"):
        assert secret not in everything


@pytest.mark.parametrize("removed", [False, True])
def test_it_tells_from_where_the_person_acted_and_nobody_else(acme: Tenant, removed: bool) -> None:
    """An auditor who read their prompts has a network of their own."""
    alice, carol = a_member(acme, "alice"), a_member(acme, "carol", Role.AUDITOR)
    assert alice.member
    assert carol.member
    about: dict[str, Any] = {"tenant_id": acme.id, "subject_id": alice.id}
    act(Action.SESSION_LOGIN, actor=alice.member.actor, client_net="192.0.2.0", **about)
    act(Action.PROMPT_VIEW, actor=carol.member.actor, client_net="198.51.100.0", **about)
    if removed:
        alice.member.remove(by=carol.member.actor)
    acts = {row["action"]: row for row in rows(opened(made(alice)), "acts")}
    assert acts["session:login"]["client_net"] == "192.0.2.0"
    assert acts["prompt:view"]["client_net"] is None
    assert "actor" not in acts["prompt:view"]


def test_under_restriction_it_says_why_there_is_none(
    acme: Tenant, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_member(acme, "alice")
    before = made(alice)
    deletion.ask(*alice.who, by="member:1", decides=True, mode="restrict")
    execution.work()
    keyring.close()
    with pytest.raises(Barred):
        portability.download(before, by="member:1")
    export = portability.ask(*alice.who, by="member:1")
    portability.work()
    export.refresh_from_db()
    assert (export.state, export.problem) == ("failed", "restricted")
    assert alice.member
    client.force_login(alice.member.user)
    assert "once the restriction ends" in client.get("/account/data/").content.decode()
