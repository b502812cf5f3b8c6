"""Whether a PostgreSQL runs on a data folder, by the number in its lock file."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.supervisor.embedded.lock_files import rest_on, server_on, take_over

pytestmark = pytest.mark.unit


@contextmanager
def a_postgres(folder: Path, data: Path) -> Iterator[int]:
    """Yields the id of a process that is called like PostgreSQL, and works in a data folder."""
    program = folder / "postgres"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([str(program), "300"], cwd=data) as process:
        try:
            while _name(process.pid) != program.name:  # a new program has its name a moment later
                time.sleep(0.001)
            yield process.pid
        finally:
            process.kill()


def _name(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def locked(data: Path, number: object, state: str = "ready") -> Path:
    data.mkdir(exist_ok=True)
    (data / "postmaster.pid").write_text(f"{number}\n{data}\n1\n5432\n{data}\n\n1 1\n{state}  \n")
    return data


def test_one_that_runs_there_keeps_its_locks(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data, other):
        folder.mkdir()
    with a_postgres(tmp_path, data) as process:
        locked(data, process)
        (data / ".s.PGSQL.5432.lock").touch()
        assert server_on(data) == process
        assert take_over(data) == {}
        assert (data / ".s.PGSQL.5432.lock").exists()
        locked(other, process)
        assert server_on(other) == 0, "it works elsewhere"


def test_what_is_left_of_one_that_ends_or_has_lost_its_head(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    other.mkdir()
    with a_postgres(tmp_path, locked(data, 2**22 + 1)) as process:
        assert (rest_on(data), rest_on(other)) == ([process], [])
        locked(data, process)
        assert rest_on(data) == [], "it runs"
        locked(data, process, "stopping")
        assert rest_on(data) == [process]
    assert rest_on(data) == []


def test_the_number_of_another_program_is_a_dead_servers(tmp_path: Path) -> None:
    locked(tmp_path, os.getpid())
    (tmp_path / ".s.PGSQL.5432.lock").touch()
    assert server_on(tmp_path) == 0
    assert take_over(tmp_path) == {"PG_GRANDPARENT_PID": str(os.getpid())}
    assert not (tmp_path / ".s.PGSQL.5432.lock").exists()


@pytest.mark.parametrize("number", ["", "no number", 2**22 + 1])
def test_a_lock_that_names_nobody_is_no_servers(tmp_path: Path, number: object) -> None:
    locked(tmp_path, number)
    assert server_on(tmp_path) == 0
    assert take_over(tmp_path / "none") == {}
