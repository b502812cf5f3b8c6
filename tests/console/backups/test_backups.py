"""The operators' page of backups, and what it shows: verifications and the process of this host."""

import json
import os
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from audit.actions import Action
from audit.models import CheckRun, Event
from console.backups.record import VERIFICATION, Progress, Verified
from console.backups.verifications import BY, store
from console.compliance.check import CheckOutcome
from console.compliance.checks import CHECKS
from tenants.models import Member, User
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
URL = "/console/backups/"
NOW = time.time()
GOOD = Verified(
    at=NOW - 3600,
    good_at=NOW - 3600,
    base="20261130T031500Z",
    rpo_s=1.2,
    restore_s=61.5,
    check_s=12.0,
    events=12_345,
    keys=678,
)
BAD = Verified(at=NOW - 60, findings=["it cannot be restored: <no room>"])
WELL = Progress(
    pid=os.getpid(),
    stored_until=NOW + 3600,
    base="20261130T031500Z",
    base_at=NOW - 7200,
    base_bytes=1_234_000_000,
    base_s=95.0,
)


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.FOREBAY_HOME = tmp_path
    settings.BACKUP_TO, settings.BACKUP_STREAMS = "s3://bucket/forebay", True
    return tmp_path


def page(sign_in: SignIn, operator: User, language: str = "en") -> str:
    client = sign_in(operator)
    answer = client.get(URL, headers={"Accept-Language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def test_all_is_well(sign_in: SignIn, operator: User, home: Path) -> None:
    WELL.write(home)
    Verified(kit_at=1e9).write(home)
    store(GOOD)
    shown = page(sign_in, operator)
    for text in (
        "Everything is stored.",
        "s3://bucket/forebay",
        "1,234 MB",
        "20261130T031500Z",
        "as it should be",
        "12,345",
        "678",
        "61.5 s",
        "2001-09-09",
    ):
        assert text in shown
    assert "never" not in shown


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(), "does not run on this host"),
        (Progress(pid=os.getpid()), "The first base backup is being made"),
        (Progress(pid=os.getpid(), stored_until=NOW - 600), " min are in no backup"),
        (
            Progress(pid=os.getpid(), failure="x: <denied>", failing_since=1e9),
            "Backups have failed since 2001-09-09 01:46:40: x: &lt;denied&gt;",
        ),
    ],
)
def test_what_is_wrong_is_said(
    sign_in: SignIn, operator: User, home: Path, progress: Progress, text: str
) -> None:
    progress.write(home)
    shown = page(sign_in, operator)
    assert text in shown
    assert "Everything is stored" not in shown
    assert "never" in shown, "nothing was verified, and no kit checked"


def test_a_verification_with_findings_shows_them_and_the_last_good_one(
    sign_in: SignIn, operator: User, home: Path
) -> None:
    WELL.write(home)
    store(GOOD)
    store(BAD)
    shown = page(sign_in, operator)
    assert "The last verification found: it cannot be restored: &lt;no room&gt;" in shown
    assert shown.index("it cannot be restored") < shown.index("12,345")
    assert "never" in shown, "the kit was not checked"


def test_a_host_without_backups(sign_in: SignIn, operator: User, settings: Any) -> None:
    settings.BACKUP_TO, settings.BACKUP_STREAMS = "", False
    shown = page(sign_in, operator)
    assert "This host keeps no backups" in shown
    assert "No verification yet" in shown


def test_a_web_host_beside_that_of_the_database_shows_its_verifications(
    sign_in: SignIn, operator: User, settings: Any
) -> None:
    settings.BACKUP_TO, settings.BACKUP_STREAMS = "", False
    store(GOOD)
    shown = page(sign_in, operator)
    assert "This host keeps no backups" not in shown
    assert "12,345" in shown


def test_a_database_of_ones_own_has_verifications_alone(
    sign_in: SignIn, operator: User, settings: Any
) -> None:
    settings.BACKUP_TO, settings.BACKUP_STREAMS = "pgbackrest:main", False
    store(GOOD)
    shown = page(sign_in, operator)
    assert "pgbackrest:main" in shown
    assert "Stored until" not in shown
    assert "does not run" not in shown


def test_it_is_in_chinese(sign_in: SignIn, operator: User, home: Path) -> None:
    WELL.write(home)
    shown = page(sign_in, operator, "zh-hans")
    assert "全部数据均已存储。" in shown
    assert "校验记录" in shown


def test_it_is_for_operators(sign_in: SignIn, alice: Member) -> None:
    assert sign_in(alice).get(URL).status_code == 403
    assert Client().get(URL).status_code == 302


def test_a_result_is_on_record_by_the_command_that_a_verification_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = {name: getattr(BAD, name) for name in BAD.__dataclass_fields__}
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(document)))
    call_command("record_verification")
    run = CheckRun.objects.get(name=VERIFICATION)
    assert (run.ok, run.problem) == (False, BAD.findings[0])
    event = Event.objects.get(action=Action.BACKUP_VERIFY)
    assert (event.actor, event.success, event.detail["findings"]) == (BY, False, 1)


class TestComplianceCheck:
    def outcome(self) -> CheckOutcome:
        return CHECKS["backups"].run(None)

    def test_a_good_one_is_evidence(self) -> None:
        store(GOOD)
        outcome = self.outcome()
        assert outcome.problem == ""
        assert outcome.figures["verified_events"] == 12_345
        assert outcome.figures["lost_s"] == 1.2

    def test_the_last_one_counts(self) -> None:
        store(GOOD)
        store(BAD)
        assert self.outcome().problem == "findings"

    def test_an_old_one_does_not_count(self) -> None:
        store(GOOD)
        CheckRun.objects.update(at="2026-01-01T00:00:00Z")
        assert self.outcome().problem == "stale"

    def test_none_is_a_problem_only_where_backups_are_kept(self, settings: Any) -> None:
        assert self.outcome().problem == "none"
        settings.BACKUP_TO = ""
        assert self.outcome().problem == ""
