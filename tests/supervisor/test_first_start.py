"""A first start is whole or not there: a full disk or a kill leaves nothing that stays broken."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from config.supervisor.embedded.postgres import Postgres
from config.supervisor.embedded.postgres_programs import SystemUser
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.own_processes import OwnProcesses
from config.supervisor.terminal import RunProblem
from tests.supervisor.conftest import Start
from tests.supervisor.running import HOSTED, START_S, eventually, get, left_of, refused

pytestmark = pytest.mark.e2e
ENOUGH = 400  # MiB


class Disk:
    """A small file system in memory, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.mounted = self._mount("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path))

    def resize(self, mebibytes: int) -> None:
        assert self._mount("mount", "-o", f"remount,size={mebibytes}m", str(self.path))

    def close(self) -> None:
        if self.mounted:
            self._mount("umount", "--lazy", str(self.path))

    def _mount(self, *line: str) -> bool:
        return subprocess.run(line, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    if not made.mounted:
        pytest.skip("mounting a small disk takes root")
    yield made
    made.close()


async def start_database(home: Home, statement: str = "") -> None:
    """Starts it alone, and stops it once it has been written to."""
    keeper = Keeper(home, OwnProcesses(home))
    try:
        postgres = Postgres(home, keeper)
        await postgres.start()
        with psycopg.connect(postgres.url) as connection:
            connection.execute("create temporary table t as select 1")
        if statement:
            superuser = postgres.administrators_url.replace("/forebay?", "/postgres?")
            with psycopg.connect(superuser, autocommit=True) as connection:
                connection.execute(statement)
    finally:
        await keeper.stop()


@pytest.mark.slow(seconds=20)
async def test_a_database_that_a_full_disk_cut_short_is_made_once_there_is_room(disk: Disk) -> None:
    home = Home(disk.path / "home")
    disk.resize(ENOUGH)
    home.take()
    # From the first files of initdb (8) to the last pages of our own database (40 and 44).
    for size in (8, 36, 38, 40, 44):
        disk.resize(size)
        with pytest.raises(
            RunProblem, match="No space left on device|is on a full disk"
        ) as refusal:
            await start_database(home)
        assert "\n" not in str(refusal.value)
        assert not (disk.path / "home" / "postgres").exists()
    disk.resize(ENOUGH)
    await start_database(home)


def test_a_full_disk_is_named_in_one_line(disk: Disk) -> None:
    disk.resize(8)
    line = refused(disk.path / "home", FOREBAY_ENGINES=HOSTED)
    assert "No space left on device" in line or "on a full disk" in line


async def test_a_database_folder_without_our_database_is_refused_with_what_to_do(
    tmp_path: Path,
) -> None:
    """Earlier versions left one behind on a full disk."""
    home = Home(tmp_path / "home")
    home.take()
    await start_database(home)
    await start_database(home, statement="drop database forebay")
    with pytest.raises(RunProblem, match="has no database in it.*move the folder away"):
        await start_database(home)


async def test_an_empty_folder_of_a_new_home_becomes_the_database(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.take()
    (home.root / "postgres").mkdir()
    await start_database(home)


async def test_an_empty_folder_of_a_home_with_passwords_may_lack_its_volume(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.take()
    (home.root / "postgres").mkdir()
    home.password("postgres.password")
    with pytest.raises(RunProblem, match="is empty, and .* mount its volume or restore a backup"):
        await start_database(home)
    (home.root / "postgres").rmdir()
    await start_database(home)


async def test_a_folder_with_other_things_is_no_database(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.take()
    (home.root / "postgres" / "base").mkdir(parents=True)
    with pytest.raises(RunProblem, match=r"has no PG_VERSION\): move the folder away"):
        await start_database(home)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Home]:
    """A home in which an empty volume is mounted in the database's place."""
    home = Home(tmp_path / "home")
    home.take()
    made = Disk(home.root / "postgres")
    if not made.mounted:
        pytest.skip("mounting a small disk takes root")
    yield home
    made.close()


async def test_an_empty_volume_in_the_place_of_the_database(volume: Home) -> None:
    with pytest.raises(RunProblem, match=f"mount a volume on {volume.root}"):
        await start_database(volume)


async def test_a_lock_whose_number_another_process_has_by_now_keeps_no_database_from_starting(
    tmp_path: Path,
) -> None:
    """Numbers begin anew after a restart of a container: one of ours gets that of before."""
    home = Home(tmp_path / "home")
    home.take()
    await start_database(home)
    data = home.root / "postgres"
    line = [*SystemUser().prefix(data), "sleep", "300"]
    with subprocess.Popen(line, cwd="/") as another:
        try:
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                (data / name).write_text(f"{another.pid}\n{data}\n")
            await start_database(home)
        finally:
            another.kill()


EVERY_STEP = "FOREBAY_TEST_STARTS" in os.environ  # as `make soak` has it
STEPS: dict[str, Callable[[Path], bool]] = {
    "initdb has made tables": lambda home: (home / "postgres.new/base/1").exists(),
    "initdb is about to end": lambda home: (home / "postgres.new/base/5").exists(),
    "roles are made": lambda home: (home / "postgres.new/postmaster.pid").exists(),
    "the server starts": lambda home: (home / "postgres/postmaster.pid").exists(),
}


@pytest.mark.soak
@pytest.mark.slow(seconds=30)
def test_after_kill_9_at_each_step_of_a_first_start_the_next_one_has_a_database(
    start: Start, home: Path
) -> None:
    for step, reached in list(STEPS.items())[:: 1 if EVERY_STEP else 4]:
        killed = start(home)
        assert eventually(lambda reached=reached: reached(home), START_S), step  # type: ignore[misc]
        killed.end(signal.SIGKILL)
        assert eventually(lambda: left_of(home) == [], 10), step
    running = start(home)
    running.line("database ready")
    with psycopg.connect(running.told["DATABASE_URL"]) as connection:
        assert connection.execute("select current_database()").fetchone() == ("forebay",)
    running.line("tables ready")
    running.end(signal.SIGKILL)  # while the first operator's link is made
    assert eventually(lambda: left_of(home) == [], 10)
    assert get(start(home).ready().port, "/livez") == 200
