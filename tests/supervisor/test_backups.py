"""Backups of the embedded PostgreSQL, made and put back as docs/deployment-database.md says."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from audit.checks.catalogue_check import WAITING
from config.environment import PROJECT
from tests import prepared
from tests.supervisor.running import HOSTED, Running

pytestmark = pytest.mark.e2e


class Installation:
    """A home, and what is typed there; `servers` are started alone, as for a restore."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.servers: Running | None = None

    def start(self) -> Running:
        self.servers = Running(self.home, "--servers", FOREBAY_ENGINES=HOSTED)
        self.servers.line("Ctrl-C stops the servers")
        return self.servers

    def stop(self) -> None:
        if self.servers:
            self.servers.end(signal.SIGINT)

    def postgres(self, *words: str, stdin: bytes = b"") -> bytes:
        return self._typed("postgres", *words, stdin=stdin)

    def manage(self, *words: str) -> str:
        return self._typed("manage", *words).decode()

    def problems(self) -> list[str]:
        """Returns what the self-check finds; nobody seals while the servers run alone."""
        check = self._run("manage", "audit_check")
        lines = check.stdout.decode().splitlines()
        assert lines, check.stderr.decode()
        return [line for line in lines if line.startswith("- ") and WAITING not in line]

    def _typed(self, *words: str, stdin: bytes = b"") -> bytes:
        ended = self._run(*words, stdin=stdin)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout

    def _run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        ours = ("FOREBAY_", "DATABASE_URL", "REDIS_URL", "PG")
        bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return subprocess.run(
            [sys.executable, "-m", "config.command", *words],
            cwd=PROJECT,
            env={**bare, "FOREBAY_HOME": str(self.home)},
            input=stdin,
            capture_output=True,
            timeout=120,
        )

    def rows(self, statement: str) -> int:
        assert self.servers
        with psycopg.connect(self.servers.told["DATABASE_URL"]) as connection:
            connection.execute("set forebay.system = 'on'")
            (count,) = connection.execute(statement).fetchone() or (0,)
            return int(count)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    prepared.home(tmp_path / "home")
    made = Installation(tmp_path / "home")
    made.start()
    yield made
    made.stop()


EVENTS = "select count(*) from audit_event"


@pytest.mark.soak
@pytest.mark.slow(seconds=40)
@pytest.mark.timeout(400)
def test_a_dump_and_a_base_backup_are_made_and_put_back(
    installation: Installation, tmp_path: Path
) -> None:
    events = installation.rows(EVENTS)
    assert events > 0
    dump = installation.postgres("pg_dump", "-Fc", "forebay")
    base = tmp_path / "base"
    installation.postgres("pg_basebackup", "-D", str(base), "-c", "fast")
    installation.manage("create_tenant", "lost-since-the-backup")

    installation.postgres("dropdb", "--force", "forebay")
    installation.postgres("createdb", "forebay")
    words = ("pg_restore", "--no-owner", "--no-privileges", "-d", "forebay")
    installation.postgres(*words, stdin=dump)
    installation.stop()
    installation.start()  # hands the tables over
    assert installation.rows(EVENTS) == events
    installation.manage("apply_tombstones")
    installation.manage("audit_resume", "--after-restore")
    assert installation.problems() == []

    installation.stop()
    shutil.rmtree(installation.home / "postgres")
    shutil.copytree(base, installation.home / "postgres")
    installation.start()
    assert installation.rows(EVENTS) == events


@pytest.mark.parametrize("program", ["psql", "postgres", "../../bin/sh"])
def test_only_backup_programs_are_run(program: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "config.command", "postgres", program]
    ended = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "name one of createdb, dropdb, pg_basebackup" in ended.stderr


def test_without_a_running_database_a_backup_says_what_to_start(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "config.command", "postgres", "pg_dump", "forebay"]
    told = {**os.environ, "FOREBAY_HOME": str(tmp_path)}
    ended = subprocess.run(line, cwd=PROJECT, env=told, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "start it with `make run`" in ended.stderr
    assert "Traceback" not in ended.stderr
