"""The signing key is exchanged: what was signed before stays ours, once its public key is named."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.checks import full_verification
from audit.erasure import tombstones
from audit.exports import export_format
from audit.keys import key_check, signing
from audit.models import Checkpoint, Event
from audit.offline import forebay_verify
from audit.proof import receipts, seal
from audit.proof.event_proof import SealState, proof_state
from audit.witnesses import delivery
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)
OTHER = bytes(range(32))


@pytest.fixture
def trail(db: None, tmp_path: Path, settings: Any) -> Iterator[Trail]:
    settings.WITNESSES = [(tmp_path / "heard.jsonl").as_uri()]
    tombstones.path().unlink(missing_ok=True)
    with superuser() as root:
        empty(root)
        yield Trail(root)
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture
def before(trail: Trail, settings: Any) -> bytes:
    """The public key with which two rounds were signed; there is another key now."""
    trail.grow(rounds=2)
    key, settings.AUDIT_SIGNING_KEY = signing.public_key(), OTHER
    return key


def exported(to: Path) -> Path:
    file = io.BytesIO()
    export_format.write(file, tenant_id=ACME)
    to.write_bytes(file.getvalue())
    return to


def test_a_key_that_was_lost_is_not_made_anew_in_silence(
    trail: Trail, before: bytes, settings: Any
) -> None:
    said = key_check.startup_problem()
    assert said.startswith("unknown audit signing key: checkpoint 2 ")
    assert "FOREBAY_AUDIT_PUBLIC_KEYS_OLD" in said
    assert "\n" not in said
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    assert key_check.startup_problem() == ""
    trail.grow(rounds=1)
    settings.AUDIT_PUBLIC_KEYS_OLD = []  # taken out again: the first checkpoint has it still
    assert "checkpoint 1 " in key_check.startup_problem()


def test_all_of_before_stays_ours(trail: Trail, before: bytes, settings: Any) -> None:
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    trail.grow(rounds=1)
    delivery.feed_all()
    made = full_verification.run()
    assert made.ok, made.problem
    assert made.figures["witnessed"] == 3
    seal.seal_due()
    first = Event.objects.exclude(tenant_id=None).order_by("id").first()
    assert first
    assert proof_state(first).seal_state == SealState.SEALED


def test_who_did_not_name_it_has_a_finding(trail: Trail, before: bytes) -> None:
    trail.grow(rounds=1)
    assert full_verification.run().figures["kinds"]["foreign_key"] == 2


def test_a_witness_hears_the_key_that_signed(
    trail: Trail, before: bytes, settings: Any, tmp_path: Path
) -> None:
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    trail.grow(rounds=1)
    delivery.feed_all()
    for line in (tmp_path / "heard.jsonl").read_bytes().splitlines():
        record = json.loads(line)
        key = base64.b64decode(record["public_key"])
        assert signing.key_id(key) == record["key_id"]
    settings.AUDIT_PUBLIC_KEYS_OLD = []
    checkpoint = Checkpoint.objects.get(n=1)
    assert "public_key" not in json.loads(delivery.record_of(checkpoint))


def test_tombstones_and_receipts_stay_ours(db: None, settings: Any) -> None:
    at, ids = timezone.now(), (uuid4(), uuid4(), uuid4())
    text = str(tombstones.TombstoneLine(*ids, False, at).signed())
    receipt = receipts.issue(uuid4(), b"\7" * 32, 1)
    before, settings.AUDIT_SIGNING_KEY = signing.public_key(), OTHER
    assert not signing.is_ours(receipt.text, receipt.signature, receipts.PURPOSE)
    with pytest.raises(tombstones.BadTombstone):
        tombstones.TombstoneLine.parse(text)
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    assert signing.is_ours(receipt.text, receipt.signature, receipts.PURPOSE)
    assert tombstones.TombstoneLine.parse(text).owner == ids[:2]


def test_an_export_brings_both_keys(
    trail: Trail, before: bytes, settings: Any, tmp_path: Path
) -> None:
    settings.AUDIT_PUBLIC_KEYS_OLD = [before]
    trail.grow(rounds=1)
    found = forebay_verify.verify_export(exported(tmp_path / "e.jsonl"))
    assert not found.findings
    assert not found.ok  # the file cannot vouch for itself


def test_the_command_believes_our_keys_and_not_the_files(
    trail: Trail, before: bytes, settings: Any, tmp_path: Path
) -> None:
    trail.grow(rounds=1)
    file = exported(tmp_path / "e.jsonl")
    settings.AUDIT_SIGNING_KEY = b"\1" * 32
    with pytest.raises(SystemExit):
        call_command("audit_verify", "--export", str(file), stdout=io.StringIO())
    settings.AUDIT_SIGNING_KEY, settings.AUDIT_PUBLIC_KEYS_OLD = OTHER, [before]
    call_command("audit_verify", "--export", str(file), stdout=io.StringIO())
    with pytest.raises(SystemExit):  # an auditor's key stands for itself, without ours
        strange = base64.b64encode(b"\2" * 32).decode()
        words = ("--export", str(file), "--public-key", strange)
        call_command("audit_verify", *words, stdout=io.StringIO())
