"""Which texts may be gone, and which may not: what the nightly verification says of each."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from audit.actions import Action
from audit.checks import full_verification
from audit.erasure import deletion, execution, tombstones
from audit.keys import keyring, signing
from audit.keys.master_keys import MasterKeys
from audit.keys.master_keys.local import EnvKeys
from audit.models import CheckRun, DataKey, Event, Payload
from audit.proof import seal
from audit.retention import legal_hold, pruning
from audit.search import text_search
from audit.verification.texts import FIELDS
from audit.verification.verify import verify
from tenants.models import Tenant
from tests.audit.sealed import Trail, empty, superuser
from tests.audit.subjects import Subject, a_key, a_member

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


@pytest.fixture
def root(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    settings.WITNESSES = []
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    tombstones.path().unlink(missing_ok=True)
    with superuser() as root:
        empty(root)
        keyring.keyring.close()
        yield root
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture
def acme(root: psycopg.Connection) -> Tenant:
    return Tenant.open("acme", by="test", retention_days=184)


def found(root: psycopg.Connection) -> dict[str, int]:
    """Of a whole verification after everything came under seal."""
    seal.seal_due()
    report = verify(root)
    root.rollback()
    kinds: dict[str, int] = {}
    for finding in report.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    return {**kinds, **{n: c for n, c in report.figures.items() if n.startswith("texts_")}}


def search(tenant: Tenant, **given: Any) -> text_search.SearchResult:
    now = timezone.now()
    asked = {"by": "member:a", "reason": "case", "since": now - HOUR, "until": now + HOUR}
    return text_search.search(tenant.id, "needle", **{**asked, **given})


# Every kind --------------------------------------------------------------------------------------
def test_every_act_that_keeps_a_text_is_known(acme: Tenant, root: psycopg.Connection) -> None:
    alice = a_member(acme, "alice")
    a_key(acme)
    for subject in (None, alice.id):
        search(acme, subject_id=subject)
    search(acme, searcher_id=alice.id)
    for _ in range(text_search.AN_HOUR):
        search(acme, by="member:b")
    assert search(acme, by="member:b").refused
    seen = Payload.objects.filter(field="request").first()
    assert seen
    text_search.view(acme.id, seen.request_id, by="member:a", reason="case")
    assert set(Payload.objects.values_list("field", flat=True)) == set(FIELDS.values())
    kept = Event.objects.exclude(payload_sha256=None)
    assert set(kept.values_list("action", flat=True)) == set(FIELDS)
    assert kept.count() == Payload.objects.count()
    assert found(root) == {}
    made = full_verification.run()
    assert made.ok, made.problem


def test_the_words_of_a_search_are_looked_at_too(acme: Tenant, root: psycopg.Connection) -> None:
    search(acme)
    root.execute("update audit_payload set ciphertext = 'x' where field = 'search'")
    root.commit()
    assert found(root) == {"text_changed": 1}
    root.execute("delete from audit_payload where field = 'search'")
    root.commit()
    assert found(root) == {"text_missing": 1}
    assert CheckRun.objects.count() == 0


# Retention ---------------------------------------------------------------------------------------
def old_text(root: psycopg.Connection, tenant: Tenant, days: float) -> None:
    trail = Trail(root, seed=uuid4().int)
    trail.write(
        at=timezone.now() - timedelta(days=days),
        tenant_id=tenant.id,
        subject_id=uuid4(),
        action=Action.COMPLETION_RECEIVED,
    )
    root.commit()


def a_night(root: psycopg.Connection) -> dict[str, int]:
    seal.seal_due()
    night = pruning.prune()
    assert not night.failed
    return {name: rows for name, rows in night.rows.items() if name.startswith("texts")}


@pytest.mark.parametrize("other", [184, 600])
def test_a_text_whose_time_is_over_may_be_gone(
    acme: Tenant, root: psycopg.Connection, other: int
) -> None:
    long = Tenant.open("globex", by="test", retention_days=other)
    for tenant in (acme, long):
        for days in (10, 186, 187):  # of a month that stays
            old_text(root, tenant, days)
    assert found(root) == {}
    gone = a_night(root)
    assert gone[f"texts {acme.id}"] == 2
    assert found(root) == {"texts_pruned": sum(gone.values())}


def test_what_went_stays_gone_when_more_is_kept(acme: Tenant, root: psycopg.Connection) -> None:
    old_text(root, acme, 186)
    assert a_night(root) == {f"texts {acme.id}": 1}
    acme.change(by="test", retention_days=400)
    assert found(root) == {"texts_pruned": 1}


def gone(root: psycopg.Connection, days: float) -> None:
    root.execute("delete from audit_payload where at < %s", [timezone.now() - timedelta(days)])
    root.commit()


def a_forged_act(root: psycopg.Connection, tenant: Tenant, rows: int, days_ago: float = 0) -> None:
    Trail(root, seed=uuid4().int).write(
        at=timezone.now() - timedelta(days=days_ago),
        tenant_id=tenant.id,
        action=Action.AUDIT_PRUNE,
        detail=Jsonb({"data_class": "audit", "rows": rows}),
    )
    root.commit()


def test_a_young_text_may_not(acme: Tenant, root: psycopg.Connection) -> None:
    """Whatever the row of the tenant and acts on record say."""
    old_text(root, acme, 183)
    root.execute("update tenants_tenant set retention_days = 1")
    root.commit()
    gone(root, 100)
    a_forged_act(root, acme, 5)
    assert found(root) == {"text_missing": 1}


def test_an_old_text_may_not_without_an_act(acme: Tenant, root: psycopg.Connection) -> None:
    old_text(root, acme, 190)
    gone(root, 100)
    assert found(root) == {"text_missing": 1}
    a_forged_act(root, acme, 5, days_ago=100)  # when the text was young
    assert found(root) == {"text_missing": 1}


def test_nor_more_than_the_acts_say(acme: Tenant, root: psycopg.Connection) -> None:
    for days in (186, 187):
        old_text(root, acme, days)
    assert a_night(root) == {f"texts {acme.id}": 2}
    old_text(root, acme, 188)
    gone(root, 100)
    assert found(root) == {"texts_pruned": 3, "text_missing": 1}


def test_nor_where_more_is_kept(acme: Tenant, root: psycopg.Connection) -> None:
    long = Tenant.open("globex", by="test", retention_days=600)
    old_text(root, long, 190)
    gone(root, 100)
    a_forged_act(root, long, 5)
    assert found(root) == {"text_missing": 1}


# Erasure -----------------------------------------------------------------------------------------
def erase(subject: Subject) -> None:
    request = deletion.ask(*subject.who, by="member:1", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.certificate


def test_who_was_erased_has_a_tombstone(acme: Tenant, root: psycopg.Connection) -> None:
    alice, _bob = a_member(acme, "alice"), a_member(acme, "bob")
    erase(alice)
    assert found(root) == {"texts_erased": 4}
    root.execute("delete from audit_tombstone")  # the file has it still
    root.commit()
    assert found(root) == {"texts_erased": 4}
    tombstones.path().unlink()
    assert found(root) == {"text_missing": 4, "erased_without_tombstone": 1}


def test_an_event_alone_erases_nothing(acme: Tenant, root: psycopg.Connection) -> None:
    alice = a_member(acme, "alice")
    root.execute("delete from audit_datakey where subject_id = %s", [alice.id])
    root.commit()
    whose = {"tenant_id": acme.id, "subject_id": alice.id}
    Trail(root, seed=uuid4().int).write(action=Action.KEY_ERASE, at=timezone.now(), **whose)
    root.commit()
    assert found(root) == {"text_key": 4, "erased_without_tombstone": 1}
    root.execute("delete from audit_payload")
    a_stone(root, acme.id, alice.id, b"\0" * 64)
    assert found(root) == {
        "text_missing": 4,
        "erased_without_tombstone": 1,
        "tombstone_broken": 1,
    }


def a_stone(root: psycopg.Connection, tenant: UUID, subject: UUID, signature: bytes) -> None:
    root.execute(
        "insert into audit_tombstone (tenant_id, subject_id, request_id, removes, at, signature)"
        " values (%s, %s, gen_random_uuid(), false, now(), %s)",
        [tenant, subject, signature],
    )
    root.commit()


def test_a_stone_from_before_an_exchange_of_keys_counts(
    acme: Tenant, root: psycopg.Connection, settings: Any
) -> None:
    erase(a_member(acme, "alice"))
    before, settings.AUDIT_SIGNING_KEY = signing.public_key(), bytes(range(32))
    assert found(root).get("tombstone_broken") == 2  # in the database and in the file
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    assert found(root).get("tombstone_broken") is None
    assert found(root)["texts_erased"] == 4
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from audit_tombstone")
        assert cursor.fetchone() == (1,)


# Keys --------------------------------------------------------------------------------------------
def test_a_key_that_was_overwritten(acme: Tenant, root: psycopg.Connection) -> None:
    alice, _bob = a_member(acme, "alice"), a_member(acme, "bob")
    assert found(root) == {}
    root.execute("update audit_datakey set wrapped = '\\x00' where subject_id = %s", [alice.id])
    root.commit()
    assert found(root) == {"key_unreadable": 1}
    made = full_verification.run()
    assert (made.ok, made.figures["kinds"]) == (False, {"key_unreadable": 1})
    assert made.figures["data_keys"] >= 3
    root.execute("update audit_datakey set wrapped = '\\x00' where subject_id is null")
    root.commit()
    keyring.keyring.close()
    assert found(root)["key_unreadable"] == made.figures["data_keys"]


def test_whoever_has_no_master_key_is_told(
    acme: Tenant, root: psycopg.Connection, settings: Any
) -> None:
    a_member(acme, "alice")
    seal.seal_due()
    settings.MASTER_KEYS = MasterKeys(EnvKeys([b"\1" * 32]))
    keyring.keyring.close()
    report = verify(root)
    assert (report.ok, "not at hand" in report.notes[0]) == (True, True)
    report = verify(root, at_home=True)
    assert {finding.kind for finding in report.findings} == {"key_unreadable"}


def test_no_key_goes_while_a_hold_is_over_it(acme: Tenant, root: psycopg.Connection) -> None:
    alice, bob = a_member(acme, "alice"), a_member(acme, "bob")
    end = timezone.now() + timedelta(days=9)
    hold = legal_hold.request(acme.id, by="a", reason="x", expires_at=end, subject_id=alice.id)
    legal_hold.approve(hold, by="b")
    for whose in ({"subject_id": alice.id}, {"subject_id": None}):
        with pytest.raises(DatabaseError, match="legal hold"), transaction.atomic():
            DataKey.objects.filter(tenant_id=acme.id, **whose).delete()
    with pytest.raises(DatabaseError, match="legal hold"):
        keyring.destroy(*alice.who)
    assert keyring.destroy(*bob.who)["keys"] == 1
    root.execute("update audit_legalhold set expires_at = now()")
    root.commit()
    assert keyring.destroy(*alice.who)["keys"] == 1
