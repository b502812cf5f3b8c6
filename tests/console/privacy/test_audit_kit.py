"""The auditor's kit verifies certificates and exports offline; auditors read certificates."""

import io
import json
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from audit.erasure import certificate, deletion, execution
from audit.keys import signing
from audit.models import DeletionRequest, Seal
from audit.witnesses import excerpt
from tenants.models import Member
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
KIT = "/console/t/acme/audit/kit/"


def certified(member: Member, monkeypatch: pytest.MonkeyPatch) -> DeletionRequest:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    row = deletion.ask(member.tenant_id, member.subject_id, by=member.actor, decides=True)
    execution.work()
    row.refresh_from_db()
    return row


def test_an_auditor_reads_certificates_and_verifies_one_with_the_kit(
    carol: Member, dave: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row, client = certified(dave, monkeypatch), sign_in(carol)
    page = client.get(KIT).content.decode()
    assert f"{KIT}certificates/{row.pk}/" in page
    assert client.get(f"{KIT}certificates/{row.pk}/").status_code == 200
    signed = client.get(f"{KIT}certificates/{row.pk}/?format=json").content
    assert certificate.verifies(json.loads(signed))
    with zipfile.ZipFile(io.BytesIO(client.get(f"{KIT}file/").content)) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "certificate.json").write_bytes(signed)
    key = tmp_path / f"public-key-{signing.key_id()}.txt"
    verifier = [sys.executable, str(tmp_path / "forebay_verify.py"), "certificate"]
    command = [*verifier, str(tmp_path / "certificate.json"), "--public-key", str(key)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "--checkpoint-witness" in (tmp_path / "README.txt").read_text()


def test_the_certificate_of_another_tenant_does_not_exist(
    carol: Member, charlie: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = certified(charlie, monkeypatch)
    assert sign_in(carol).get(f"{KIT}certificates/{row.pk}/").status_code == 404
    assert str(row.pk) not in sign_in(carol).get(KIT).content.decode()


def seal(member: Member, batch: int, days_ago: int) -> None:
    at = timezone.now() - timedelta(days=days_ago)
    same = {"first_seq": batch, "size": 1, "event_ids": [batch], "position": 0, "sealed_at": at}
    hashes = dict.fromkeys(("leaves", "root", "previous", "hash"), bytes(32))
    time = {"first_at": at, "last_at": at}
    Seal.objects.create(
        tenant_id=member.tenant_id, batch=batch, checkpoint=batch * 10, **same, **hashes, **time
    )


def test_the_witness_file_has_the_tenants_checkpoints_of_the_time_and_its_neighbours(
    carol: Member, sign_in: SignIn, settings: Any, tmp_path: Path
) -> None:
    for batch, days_ago in enumerate((60, 50, 40, 20, 10, 5, 3, 1), start=1):
        seal(carol, batch, days_ago)
    file = tmp_path / "heard.jsonl"
    lines = [json.dumps({"n": n}) for n in range(1, 100)]
    file.write_text("\n".join([*lines[:49], '{"n": 5', *lines[49:]]) + "\n")
    settings.WITNESSES = [f"file://{file}"]
    now = timezone.now()
    sent = {
        "since": f"{now - timedelta(days=30):%Y-%m-%dT%H:%M}",
        "until": f"{now - timedelta(days=7):%Y-%m-%dT%H:%M}",
    }
    client = sign_in(carol)
    answer: Any = client.get(f"{KIT}witness/", sent)

    async def whole() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    heard = [json.loads(line)["n"] for line in async_to_sync(whole)().splitlines()]
    assert heard == [20, 30, 40, 50, 60, 70]
    assert client.get(f"{KIT}witness/", {"since": sent["until"]}).status_code == 404
    backwards = {"since": sent["until"], "until": sent["since"]}
    assert client.get(f"{KIT}witness/", backwards).status_code == 404


def test_without_a_witness_file_the_page_says_whom_to_ask(
    carol: Member, sign_in: SignIn, settings: Any
) -> None:
    settings.WITNESSES = ["https://auditor.example/forebay"]
    assert excerpt.readable_file() is None
    page = sign_in(carol).get(KIT).content.decode()
    assert "No witness file is on this server." in page
    assert "Export the month" in page
