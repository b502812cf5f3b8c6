"""An export verifies offline, by a program that knows nothing of Forebay; a bent one does not."""

import base64
import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import Mock, patch

import pytest

from audit import merkle
from audit.exports import export_format
from audit.keys import signing
from audit.models import PLATFORM, Event, Seal
from audit.offline import forebay_verify
from audit.proof import event_proof, receipts
from audit.proof.receipts import Receipt
from audit.proof.seal import seal_round
from config.environment import PROJECT
from tenants.models import Tenant
from tests.audit.sealed import ACME, GLOBEX, Trail, empty, superuser
from tests.audit.verification.intruder import Intruder

pytestmark = pytest.mark.django_db(transaction=True)
KEY = base64.b64encode(b"\0" * 32).decode()


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        made = Trail(root)
        made.grow(rounds=5, events=20)
        yield made


def exported(path: Path, **asked: Any) -> tuple[Path, dict[str, Any]]:
    file = io.BytesIO()
    manifest = export_format.write(file, **asked)
    path.write_bytes(file.getvalue())
    return path, manifest


def check(path: Path, **options: Any) -> forebay_verify.Result:
    return forebay_verify.verify_export(path, [signing.public_key()], **options)


@pytest.fixture
def whole(trail: Trail, tmp_path: Path) -> Path:
    return exported(tmp_path / "acme.jsonl", tenant_id=ACME)[0]


@pytest.mark.parametrize("tenant", [ACME, GLOBEX, None])
def test_an_export_verifies_offline(trail: Trail, tmp_path: Path, tenant: Any) -> None:
    path, manifest = exported(tmp_path / "export.jsonl", tenant_id=tenant)
    result = check(path)
    assert result.ok, result.findings
    assert manifest["events"] == Event.objects.filter(tenant_id=tenant).count()
    assert manifest["seals"] == Seal.objects.of_tenant(tenant or PLATFORM).count()


def test_some_events_verify_as_well(trail: Trail, tmp_path: Path) -> None:
    some = Event.objects.filter(action="completion:received")
    path, manifest = exported(tmp_path / "some.jsonl", tenant_id=ACME, events=some)
    result = check(path)
    assert result.ok, result.findings
    assert 0 < manifest["events"] == some.filter(tenant_id=ACME).count()
    assert result.figures["events beside them, of which only the hash is here"] > 0


def test_a_time_verifies_and_is_complete(trail: Trail, tmp_path: Path) -> None:
    moments = list(Event.objects.order_by("at").values_list("at", flat=True))
    asked = {"tenant_id": ACME, "since": moments[25], "until": moments[75]}
    path, manifest = exported(tmp_path / "time.jsonl", **asked)
    assert check(path).ok
    inside = Event.objects.of_tenant(ACME).between(moments[25], moments[75])
    assert manifest["events"] == inside.count()


def test_every_time_verifies_with_the_batches_on_either_side(trail: Trail, tmp_path: Path) -> None:
    moments = list(Event.objects.order_by("at").values_list("at", flat=True))
    edges = [moments[0] - timedelta(days=1), *moments[::9], moments[-1] + timedelta(days=1)]
    for since in (None, *edges):
        for until in (None, *(edge for edge in edges if not since or edge >= since)):
            asked = {"tenant_id": GLOBEX, "since": since, "until": until}
            path, manifest = exported(tmp_path / "time.jsonl", **asked)
            assert check(path).ok, (since, until, check(path).findings)
            inside = Event.objects.of_tenant(GLOBEX).between(since, until)
            assert manifest["events"] == inside.count()


def batches(trail: Trail, tenant: Any = ACME) -> list[Seal]:
    return list(Seal.objects.of_tenant(tenant).order_by("batch"))


def taken(trail: Trail, *seals: Seal) -> None:
    for seal in seals:
        trail.root.execute("delete from audit_event where id = any(%s)", [seal.event_ids])


def test_an_event_that_was_taken_shows_though_its_seal_says_another_time(
    trail: Trail, tmp_path: Path
) -> None:
    one = next(seal for seal in batches(trail) if seal.size > 2)
    trail.root.execute("delete from audit_event where id = %s", [one.event_ids[1]])
    trail.root.execute("update audit_seal set last_at = '2040-01-01' where id = %s", [one.id])
    trail.root.commit()
    until = datetime.now(UTC)
    findings = check(exported(tmp_path / "a", tenant_id=ACME, until=until)[0]).findings
    assert any(f"seal {one.batch} is not under checkpoint" in found for found in findings)


@pytest.mark.parametrize("which", [slice(0, 2), slice(-1, None), slice(2, 3), slice(None)])
def test_batches_without_events_are_missing_ones(
    trail: Trail, tmp_path: Path, which: slice
) -> None:
    gone = batches(trail)[which]
    taken(trail, *gone)
    trail.root.commit()
    for until in (None, datetime.now(UTC)):
        findings = check(exported(tmp_path / "a", tenant_id=ACME, until=until)[0]).findings
        assert findings == [f"{s.size} events of seal {s.batch} are missing" for s in gone]


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (slice(0, 2), "what was before it is missing"),
        (slice(2, 3), "something is missing, or twice"),
        (slice(-1, None), "was not whole at checkpoint"),
        (slice(None), "was not whole at checkpoint"),
    ],
)
def test_batches_without_their_seals_are_missing_ones(
    trail: Trail, tmp_path: Path, which: slice, said: str
) -> None:
    gone = batches(trail)[which]
    taken(trail, *gone)
    trail.root.execute("delete from audit_seal where id = any(%s)", [[s.id for s in gone]])
    trail.root.commit()
    findings = check(exported(tmp_path / "a", tenant_id=ACME)[0]).findings
    assert any(said in found for found in findings), findings


def test_an_end_that_was_cut_off_shows_to_the_witness(trail: Trail, tmp_path: Path) -> None:
    heard = tmp_path / "heard.jsonl"
    heard.write_bytes(b"\n".join(trail.witnessed))
    Intruder(trail.root, Random(1))._forget_after(4)
    trail.root.commit()
    path, _ = exported(tmp_path / "export.jsonl", tenant_id=ACME)
    assert check(path).ok
    later = datetime.now(UTC) + timedelta(minutes=2)
    with patch.object(export_format, "datetime", Mock(now=lambda _: later)):
        path, _ = exported(tmp_path / "export.jsonl", tenant_id=ACME)
    findings = check(path, witnesses=[heard]).findings
    assert findings == ["the witness knew checkpoint 5 before this was made"]


def test_what_is_sealed_meanwhile_is_in_it(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = export_format._unsealed_pieces

    def later(*given: Any) -> Iterator[bytes]:
        assert seal_round()
        yield from before(*given)

    monkeypatch.setattr(export_format, "_unsealed_pieces", later)
    trail.write(tenant_id=ACME, action="api_key:create", at=datetime.now(UTC))
    trail.root.commit()
    manifest: dict[str, Any] = {}
    path = tmp_path / "export.jsonl"
    pieces = export_format.pieces(ACME, manifest=manifest)  # as the job does it: one by one
    path.write_bytes(b"".join(pieces))
    assert manifest["events"] == Event.objects.filter(tenant_id=ACME).count()
    result = check(path)
    assert result.ok, result.findings
    assert result.figures["not yet sealed"] == 1


@pytest.fixture
def old(db: None) -> Iterator[Trail]:
    """One that reaches from January into February, and goes on today."""
    with superuser() as root:
        empty(root)
        made = Trail(root)
        made.grow_at(datetime(2026, 1, 31, 23, 59, 45, tzinfo=UTC), rounds=4)
        made.grow(rounds=2)
        yield made


def dropped(trail: Trail, month: str, rows: int, also: str = "true") -> None:
    begins = f"{month}-01T00:00Z"
    trail.root.execute(f"delete from audit_event where {also} and at >= %s and at <"
                       " %s::timestamptz + interval '1 month'", [begins, begins])  # fmt: skip
    trail.root.execute('insert into audit_prunedmonth ("table", month, rows, pruned_at)'
                       " values ('audit_event', %s, %s, now())", [f"{month}-01", rows])  # fmt: skip
    trail.root.commit()


@pytest.mark.parametrize("tenant", [ACME, GLOBEX, None])
def test_what_went_with_its_month_is_said(old: Trail, tmp_path: Path, tenant: Any) -> None:
    dropped(old, "2026-01", 9)
    path, manifest = exported(tmp_path / "export.jsonl", tenant_id=tenant)
    result = check(path)
    assert result.ok, result.findings
    assert manifest["events"] == Event.objects.filter(tenant_id=tenant).count()
    assert manifest["seals"] == Seal.objects.of_tenant(tenant or PLATFORM).count()
    seals = [json.loads(line) for line in path.read_text().splitlines() if '"seal"' in line]
    named = [seal.get("dropped") for seal in seals]
    assert named[0] == ["2026-01"]
    assert not seals[0]["leaves"]
    assert named[-1] is None


@pytest.mark.parametrize("seconds", [-30, -14, -7, -1, 0, 1, 5, 10])
def test_a_time_that_begins_or_ends_beside_a_dropped_month(
    old: Trail, tmp_path: Path, seconds: int
) -> None:
    dropped(old, "2026-01", 9)
    edge = datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    for asked in ({"since": edge}, {"until": edge}):
        path, _ = exported(tmp_path / "export.jsonl", tenant_id=ACME, **asked)
        assert check(path).ok, check(path).findings


def test_a_part_of_a_month_does_not_go(old: Trail, tmp_path: Path) -> None:
    first = Event.objects.of_tenant(ACME).order_by("id")[0]
    dropped(old, "2026-01", 1, also=f"id = {first.id}")
    findings = check(exported(tmp_path / "export.jsonl", tenant_id=ACME)[0]).findings
    assert any("its month is said to be dropped" in found for found in findings), findings


def test_a_young_month_is_not_dropped(old: Trail, tmp_path: Path) -> None:
    dropped(old, f"{datetime.now(UTC):%Y-%m}", 1)
    findings = check(exported(tmp_path / "export.jsonl", tenant_id=ACME)[0]).findings
    assert any("cannot have lost its events" in found for found in findings)
    assert any("too young" in found for found in findings)


def test_a_month_does_not_go_before_its_tenants_retention(tmp_path: Path) -> None:
    with superuser() as root:
        empty(root)
        Tenant.objects.create(id=ACME, name="acme", retention_days=2000)
        made = Trail(root)
        made.grow_at(datetime(2026, 1, 20, tzinfo=UTC), rounds=2)
        made.grow(rounds=1)
        dropped(made, "2026-01", 30)
        for tenant, ok in ((ACME, False), (GLOBEX, True)):
            findings = check(exported(tmp_path / "e.jsonl", tenant_id=tenant)[0]).findings
            assert not findings if ok else all("retention ran out" in one for one in findings)
            assert bool(findings) != ok
        Tenant.objects.filter(pk=ACME).update(retention_days=200)
        made.grow(rounds=1)
        assert check(exported(tmp_path / "e.jsonl", tenant_id=ACME)[0]).ok
        # Its days are in what is signed.
        path = exported(tmp_path / "e.jsonl", tenant_id=ACME)[0]
        path.write_text(path.read_text().replace('"retention_days":2000', '"retention_days":200'))
        assert any("is not under checkpoint" in found for found in check(path).findings)


def test_examples_of_earlier_versions_verify() -> None:
    examples = PROJECT / "docs" / "examples"
    key = base64.b64decode((examples / "public_key.txt").read_text())
    witnesses = [examples / "checkpoints.jsonl"]
    found = forebay_verify.verify_export(examples / "audit-acme.jsonl", [key], witnesses)
    assert found.ok, found.findings
    assert found.figures["seals"]


def test_nothing_is_an_export_too(trail: Trail, tmp_path: Path) -> None:
    path, manifest = exported(tmp_path / "none.jsonl", tenant_id=trail._uuid())
    assert check(path).ok
    assert manifest["events"] == 0


def test_what_has_no_seal_yet_is_there_and_marked(trail: Trail, tmp_path: Path) -> None:
    trail._at += timedelta(minutes=29)
    trail.write(tenant_id=ACME, action="api_key:create")
    trail.root.commit()
    path, _ = exported(tmp_path / "export.jsonl", tenant_id=ACME)
    result = check(path)
    assert result.ok, result.findings
    assert result.figures["not yet sealed"] == 1


def test_the_witness_speaks(trail: Trail, whole: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard.jsonl"
    heard.write_bytes(b"\n".join(trail.witnessed) + b"\n{torn")
    assert check(whole, witnesses=[heard]).ok
    other = json.loads(trail.witnessed[2])
    other["root"] = "00" * 32
    heard.write_text(json.dumps(other))
    assert "witness" in check(whole, witnesses=[heard]).findings[0]


def test_a_bent_export_shows(whole: Path, tmp_path: Path) -> None:
    """Each of 300 files with one byte changed, one line gone, twice, or moved."""
    random, text = Random(7), whole.read_bytes()
    bent = tmp_path / "bent.jsonl"
    for n in range(300):
        lines = text.splitlines(keepends=True)
        place = random.randrange(len(lines))
        if n % 4 == 0:
            at = random.randrange(len(text))
            bent.write_bytes(
                text[:at] + bytes([text[at] ^ 1 << random.randrange(7)]) + text[at + 1 :]
            )
        elif n % 4 == 1:
            bent.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        elif n % 4 == 2:
            bent.write_bytes(b"".join([*lines[: place + 1], lines[place], *lines[place + 1 :]]))
        else:
            lines.insert(random.randrange(len(lines)), lines.pop(place))
            bent.write_bytes(b"".join(lines))
        if bent.read_bytes() == text:
            continue
        with contextlib.suppress(forebay_verify.Broken):
            assert not check(bent).ok


def test_whoever_makes_a_manifest_anew_has_not_our_key(whole: Path) -> None:
    """Line by line changed, with hash and counts that fit: the seals do not."""
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    event = next(line for line in lines if line["type"] == "event")
    event["line"] = event["line"].replace("smollm2", "smollm3")
    file = export_format._File()
    body = b"".join(file.line(line) for line in lines[:-1])
    whole.write_bytes(body + file.end({}))  # signed by us, even
    assert check(whole).findings == [f"event {event['seq']} is not what was sealed"]


def offline(*words: str) -> tuple[int, str]:
    """As an auditor runs it: the file alone, without Django."""
    program = [sys.executable, "-I", "-W", "error", forebay_verify.__file__]
    ran = subprocess.run([*program, *words], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_program_runs_by_itself(whole: Path, tmp_path: Path) -> None:
    ours = base64.b64encode(signing.public_key()).decode()
    code, said = offline("export", str(whole), "--public-key", ours)
    assert (code, "All is as it was sealed" in said) == (0, True), said
    code, said = offline("export", str(whole), "--json")
    assert (code, json.loads(said)["ok"]) == (3, False)
    code, said = offline("export", str(whole))
    assert (code, "NOBODY VOUCHES" in said, ours in said) == (3, True, True)
    assert offline("export", str(whole), "--public-key", KEY)[0] == 1
    assert offline("export", str(tmp_path / "nowhere"))[0] == 2
    whole.write_bytes(b'{"type":"header"}\n')
    assert offline("export", str(whole))[0] == 2


def test_a_forged_file_moves_no_cursor(whole: Path) -> None:
    """Who reads the verdict in a terminal would see the file's instead."""
    lines = whole.read_bytes().splitlines()
    manifest = {**json.loads(lines[-1]), "key_id": "\x1b[2J\nAll is as it was sealed.\x9b8m"}
    whole.write_bytes(b"\n".join([*lines[:-1], json.dumps(manifest).encode()]) + b"\n")
    code, said = offline("export", str(whole))
    assert (code, "is not trusted (\\x1b[2J" in said) == (1, True), said
    assert all(line.isprintable() for line in said.splitlines())


def receipt_of(trail: Trail) -> Receipt:
    event = Event.objects.of_tenant(ACME).filter(action="completion:received").first()
    assert event
    assert event.request_id
    found = event_proof.of_request(ACME, event.request_id)[0]
    return receipts.issue(event.request_id, bytes.fromhex(found["leaf"]), 1)


def test_a_receipt_verifies_offline(trail: Trail, whole: Path) -> None:
    receipt = receipt_of(trail)
    text = bytes(receipt).decode()
    read = forebay_verify.read_receipt(text)
    assert (read["request_id"], read["leaf"]) == (str(receipt.request_id), receipt.leaf.hex())
    assert signing.is_ours(receipt.text, receipt.signature, receipts.PURPOSE)
    assert len(text) < 450
    ours = base64.b64encode(signing.public_key()).decode()
    assert offline("receipt", text, "--public-key", ours, "--export", str(whole))[0] == 0
    assert offline("receipt", text, "--public-key", KEY)[0] == 1
    assert offline("receipt", text)[0] == 2
    assert offline("receipt", "rubbish", "--public-key", ours)[0] == 2
    nowhere = receipts.issue(receipt.request_id, merkle.leaf(b"x"), 1)
    code, said = offline(
        "receipt", bytes(nowhere).decode(), "--public-key", ours, "--export", str(whole)
    )
    assert (code, "under no seal" in said) == (1, True)
    whole.write_text(json.dumps({"type": "seal", "leaves": base64.b64encode(b"x").decode()}) + "\n")
    assert offline("receipt", text, "--public-key", ours, "--export", str(whole))[0] == 2
    later = receipt._replace(at_us=2)
    assert not signing.is_ours(later.text, receipt.signature, receipts.PURPOSE)
    for bad in ("", "e30=", "bnVsbA==", base64.b64encode(b'{"request_id":1}').decode()):
        with pytest.raises(ValueError, match="no receipt"):
            forebay_verify.read_receipt(bad)


def test_where_an_event_stands(trail: Trail) -> None:
    receipt = receipt_of(trail)
    (found,) = event_proof.of_request(ACME, receipt.request_id)
    proof = found["proof"]
    seal, checkpoint = proof["seal"], proof["checkpoint"]
    path = [bytes.fromhex(text) for text in proof["path"]]
    place, root = proof["seq"] - seal["first_seq"], bytes.fromhex(seal["root"])
    assert forebay_verify.is_in(receipt.leaf, place, seal["size"], path, root)
    up = [bytes.fromhex(text) for text in seal["path"]]
    top = bytes.fromhex(checkpoint["root"])
    args = (forebay_verify.seal_hash(seal), seal["position"], seal["of"], up, top)
    assert forebay_verify.is_in(*args)
    assert len(json.dumps(proof)) < 2048
    assert event_proof.of_request(GLOBEX, receipt.request_id) == []
    new = trail.write(tenant_id=ACME, action="completion:received")
    trail.root.commit()
    request_id = Event.objects.get(id=new).request_id
    assert request_id
    assert event_proof.of_request(ACME, request_id)[0]["proof"] is None


def test_a_signed_document_verifies_offline(tmp_path: Path) -> None:
    body = {"format": "forebay-certificate/1", "subject": "名"}
    text = forebay_verify.canonical(body)
    document = {
        "body": body,
        "key_id": signing.key_id(),
        "public_key": base64.b64encode(signing.public_key()).decode(),
        "signature": base64.b64encode(signing.sign(text, "certificate")).decode(),
    }
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(document))
    ours = base64.b64encode(signing.public_key()).decode()
    assert offline("certificate", str(path), "--public-key", ours)[0] == 0
    assert offline("certificate", str(path))[0] == 3  # it holds together, and anybody can write it
    body["subject"] = "other"
    path.write_text(json.dumps(document))
    assert offline("certificate", str(path))[0] == 1
    path.write_text("{}")
    assert offline("certificate", str(path))[0] == 2


_MANIFEST = json.dumps({"type": "manifest", "public_key": KEY, "public_keys_old": 5})


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("certificate", "[" * 100_000),
        ("report", '{"body": ' + "[" * 100_000),
        ("export", '{"type": "header", "format": "forebay-export/1"}\n' + _MANIFEST),
    ],
)
def test_what_cannot_be_read_is_no_finding(tmp_path: Path, what: str, text: str) -> None:
    """2 says that; 1 would say that somebody had changed it."""
    path = tmp_path / "file"
    path.write_text(text)
    assert forebay_verify.main([what, str(path)]) == 2


def test_what_nobody_signed_beside_a_document(tmp_path: Path) -> None:
    """A reader, or a browser, would see it and take it for verified."""
    body = {"format": "forebay-certificate/1", "subject": "a", "mode": "erase"}
    sig = base64.b64encode(signing.sign(forebay_verify.canonical(body), "certificate")).decode()
    ours = base64.b64encode(signing.public_key()).decode()
    rest = f'"key_id": "{signing.key_id()}", "public_key": "{ours}", "signature": "{sig}"'
    real, path = json.dumps(body), tmp_path / "certificate.json"
    for text, code in (
        (f'{{"body": {real}, {rest}}}', 0),
        (f'{{"subject_name": "Bob", "body": {real}, {rest}}}', 1),
        (f'{{"z": "<!DOCTYPE html><h1>All is well</h1>", "body": {real}, {rest}}}', 1),
        (f'{{"body": {{"subject": "b"}}, "body": {real}, {rest}}}', 2),
    ):
        path.write_text(text)
        found, said = offline("certificate", str(path), "--public-key", ours)
        assert found == code, said
        assert ('subject: "a"' in said) == (code < 2)  # what was verified is told


def test_a_receipt_in_an_export_that_does_not_hold(whole: Path, trail: Trail) -> None:
    """Whoever has the receipt can write a line with its leaf."""
    leaf = bytes(range(32))
    text = bytes(receipts.issue(trail._uuid(), leaf, 1)).decode()
    lines = whole.read_bytes().splitlines(keepends=True)
    forged = json.dumps({"type": "seal", "leaves": base64.b64encode(leaf).decode()})
    whole.write_bytes(b"".join([*lines[:-1], forged.encode() + b"\n", lines[-1]]))
    ours = base64.b64encode(signing.public_key()).decode()
    code, said = offline("receipt", text, "--public-key", ours, "--export", str(whole))
    assert (code, "not the one that the manifest was made for" in said) == (1, True), said


def test_an_exports_manifest_is_no_certificate(whole: Path, tmp_path: Path) -> None:
    manifest = json.loads(whole.read_bytes().splitlines()[-1])
    signature = manifest.pop("signature")
    document = {"body": manifest, "signature": signature, "key_id": manifest["key_id"]}
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(document))
    code, said = offline("certificate", str(path), "--public-key", manifest["public_key"])
    assert (code, "another kind of document" in said) == (1, True)
