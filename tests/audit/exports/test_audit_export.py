"""`manage.py audit_export`: what an auditor gets of a tenant, and of the platform itself."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from audit.actions import Action
from audit.keys import signing
from audit.models import PLATFORM, Event
from audit.offline.forebay_verify import Result, verify_export
from audit.proof import seal
from audit.trail.record import act
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def made(file: Path, *words: str) -> Result:
    call_command("audit_export", str(file), *words, stdout=io.StringIO())
    return verify_export(file, [signing.public_key()])


def owner(file: Path) -> UUID:
    with file.open() as lines:
        return UUID(json.loads(next(lines))["tenant_id"])


def test_of_a_tenant(trail: Trail, tmp_path: Path) -> None:
    trail.grow(rounds=3)
    file = tmp_path / "acme.jsonl"
    found = made(file, "--tenant", str(ACME))
    assert found.ok, found.findings
    assert found.figures["events"] > Event.objects.of_tenant(ACME).count() - 2
    assert owner(file) == ACME
    assert file.stat().st_mode & 0o077 == 0


def test_of_the_platform_itself(trail: Trail, tmp_path: Path) -> None:
    """What operators do belongs to no tenant, and can be taken along all the same."""
    trail.grow(rounds=2)
    act(Action.TENANT_CREATE, actor="operator:1", tenant_id=None, detail={"name": "initech"})
    seal.seal_round()
    file = tmp_path / "platform.jsonl"
    found = made(file)
    assert found.ok, found.findings
    assert owner(file) == PLATFORM
    assert "initech" in file.read_text()
    assert str(ACME) not in file.read_text()


def test_it_is_on_record(trail: Trail, tmp_path: Path) -> None:
    made(tmp_path / "a.jsonl", "--from", "2026-11-01", "--to", "2026-12-01")
    (found,) = Event.objects.filter(action=Action.AUDIT_EXPORT)
    assert (found.actor, found.tenant_id) == ("command:audit_export", None)
    assert found.detail["since"].startswith("2026-11-01")


@pytest.mark.parametrize(
    "words",
    [
        ("--tenant", "nobody"),
        ("--tenant", ""),
        ("--tenant", "0192e6a0-44ee-7c6e-9f6e-1f2a3b4c5d6e"),
        ("--from", "yesterday"),
        ("--from", "2026-12-01", "--to", "2026-11-01"),
    ],
)
def test_what_it_cannot_do(db: None, tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="cannot export"):
        made(tmp_path / "a.jsonl", *words)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_half(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CommandError, match="No space left"):
        made(tmp_path / "a.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_written_over(db: None, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    with pytest.raises(CommandError, match="exists"):
        made(tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == "mine"
