"""A restore that was interrupted, and what it may pass over."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from config.backup.kinds.embedded import Embedded
from config.backup.restoring import restored_copy
from config.supervisor.embedded.postgres import Postgres
from config.supervisor.embedded.postgres_programs import SystemUser
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem

pytestmark = pytest.mark.unit


def test_a_restore_that_was_cut_off_between_two_databases_is_no_first_start(tmp_path: Path) -> None:
    """A new and empty database would look as if all were lost."""
    home = Home(tmp_path / "home")
    home.secrets.mkdir(parents=True)
    (home.root / "postgres.before-20261130T031500Z").mkdir()
    no_keeper: Any = None
    with pytest.raises(RunProblem, match="database of before a restore that was interrupted"):
        asyncio.run(Postgres(home, no_keeper).start())
    assert not (home.root / "postgres").exists()


@pytest.mark.parametrize("despite_findings", [False, True])
def test_findings_of_the_trail_are_passed_over_if_the_operator_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, despite_findings: bool
) -> None:
    typed: list[tuple[str, ...]] = []

    def manage(*words: str, variables: Any) -> str:
        typed.append(words)
        return ""

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setattr("config.backup.restoring.restored_copy.manage", manage)
    restored_copy.resume_sealing("", tmp_path / "none", despite_findings=despite_findings)
    assert ("--despite-findings" in typed[0]) == despite_findings


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "forebay"),
        ("postgres://forebay:x@/forebay?host=/run/f&port=5432", "forebay"),
        ("postgres://bank:x@a:5432,b:5432/platform?target_session_attrs=primary", "platform"),
    ],
)
def test_a_copy_is_looked_at_in_the_platforms_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, name: str
) -> None:
    looked_at: list[str] = []

    def manage(*_words: str, variables: Any) -> str:
        looked_at.append(variables["DATABASE_URL"])
        return ""

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr("config.backup.restoring.restored_copy.manage", manage)
    restored_copy.check_keys("postgres://postgres@/postgres?host=/tmp/copy&port=5432")
    assert looked_at == [f"postgres://postgres@/{name}?host=/tmp/copy&port=5432"]


def test_a_base_backup_without_the_embedded_database_says_what_to_set(tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(RunProblem, match="pgbackrest:STANZA"):
        Embedded(nothing, tmp_path, SystemUser()).take()
