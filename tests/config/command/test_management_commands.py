"""Every management command that Django and the apps bring is classified: allowed, or refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands
from django.utils import timezone

from audit.models import Event
from config.command import management_commands
from config.command.management_commands import ALLOWED, REFUSED, Effect, refusal
from config.environment import PROJECT
from tenants.models import Tenant, TextLock, User

FRONT_DOORS = ([sys.executable, "manage.py"], [sys.executable, "-m", "config.command", "manage"])

# What each command on record is run with here, or the test that shows its event.
ON_RECORD: dict[str, str | list[str]] = {
    "apply_tombstones": "tests/audit/erasure/test_tombstones.py::"
    "test_a_restored_backup_is_erased_again",
    "audit_export": ["{folder}/export.jsonl"],
    "audit_resume": "tests/audit/verification/test_resuming.py::"
    "test_what_a_witness_heard_and_the_backup_has_not",
    "breaker": "tests/inference/engines/test_breaker_override.py::"
    "test_it_is_set_shown_and_on_record",
    "compliance_report": ["{folder}/report.json"],
    "create_api_key": ["acme", "--name", "ci"],
    "create_operator": ["olga@example.com"],
    "create_tenant": ["globex"],
    "first_run": [],
    "isolation": "tests/isolation/test_command.py::test_it_prints_the_table_and_leaves_nothing",
    "record_verification": "tests/console/backups/test_backups.py::"
    "test_a_result_is_on_record_by_the_command_that_a_verification_runs",
    "register_model": "tests/inference/model_registry/test_register_model.py::"
    "test_the_embedded_model_is_registered_for_every_tenant",
    "release_texts": ["alice@example.com"],
    "remove_operator": ["alice@example.com"],
    "reset_mfa": ["alice@example.com"],
    "reset_password": ["alice@example.com"],
    "rotate_api_key": "tests/tenants/test_commands.py::test_a_key_rotated_by_command_is_on_record",
    "rotate_keys": ["--tenant", "acme"],
}


@pytest.mark.unit
def test_every_command_there_is_has_been_classified() -> None:
    assert set(get_commands()) == set(ALLOWED) | set(REFUSED)
    assert not set(ALLOWED) & set(REFUSED)


@pytest.mark.unit
def test_a_command_that_nobody_has_classified_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management_commands, "get_commands", lambda: {"brand_new": "some.app"})
    assert "brand_new is refused" in refusal("brand_new")


@pytest.mark.unit
def test_an_installed_forebay_changes_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    developing = [name for name, effect in ALLOWED.items() if effect is Effect.DEVELOPS]
    assert not any(map(refusal, developing))
    monkeypatch.setattr("config.environment.INSTALLED", True)
    assert all(map(refusal, developing))


@pytest.mark.parametrize("door", FRONT_DOORS, ids=["manage.py", "forebay manage"])
def test_a_password_cannot_be_set_without_a_record(door: list[str]) -> None:
    environment = {**os.environ, "FOREBAY_DATABASE_SCOPE": "system"}
    line = [*door, "changepassword", "alice@example.com"]
    ended = subprocess.run(line, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "changepassword is refused" in ended.stderr
    assert "`reset_password EMAIL`" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", sorted(REFUSED))
def test_a_refused_command_says_what_to_do_instead(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed in ([command], ["help", command]):
        with pytest.raises(SystemExit) as ended:
            management_commands.execute(["manage.py", *typed])
        assert ended.value.code == 1
        printed = capsys.readouterr()
        assert printed.err == f"manage.py: {refusal(command)}\n"
        assert REFUSED[command] in printed.err


@pytest.mark.unit
def test_help_lists_what_may_be_run_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    management_commands.execute(["manage.py", "help", "--commands"])
    assert capsys.readouterr().out.split() == sorted(ALLOWED)
    management_commands.execute(["manage.py", "help"])
    assert not set(capsys.readouterr().out.split()) & set(REFUSED) - {"test", "check"}


@pytest.mark.unit
def test_each_command_that_acts_has_a_test_of_its_record() -> None:
    assert set(ON_RECORD) == {name for name, each in ALLOWED.items() if each is Effect.ON_RECORD}
    for place in (how for how in ON_RECORD.values() if isinstance(how, str)):
        file, _, test = place.partition("::")
        assert f"def {test}(" in (PROJECT / file).read_text()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", [name for name, how in ON_RECORD.items() if type(how) is list])
def test_a_command_that_acts_leaves_an_event(command: str, tmp_path: Path, settings: Any) -> None:
    settings.FOREBAY_HOME = tmp_path
    if command != "first_run":  # makes the first of everything
        Tenant.open("acme", by="test")
        operates = command == "remove_operator"
        alice = User.objects.create_user(email="alice@example.com", is_operator=operates)
        User.objects.create_user(email="olga@elsewhere.example", is_operator=True)
        TextLock.objects.create(user=alice, since=timezone.now(), before=timezone.now(), made_by=[])
    before = set(Event.objects.values_list("pk", flat=True))
    call_command(command, *(word.format(folder=tmp_path) for word in ON_RECORD[command]))
    fresh = Event.objects.exclude(pk__in=before)
    assert fresh.filter(actor=f"command:{command}").exists()
