"""A PostgreSQL of its own, and a folder for its backups."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.backup.backup_key import BackupKey
from config.backup.cluster import Cluster
from config.backup.repository import Repository, open_store
from config.supervisor.embedded.postgres_programs import SystemUser, binaries

OPENS_S = 30


@dataclass
class Server:
    """A cluster that may be killed and started again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.user = SystemUser()
        self.programs = binaries(self.user)
        self.data, self.sockets = self.folder / "data", self.folder / "s"
        for made in (self.data, self.sockets):
            made.mkdir(mode=0o700)
            self.user.own(made)
        words = "--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync"
        self._run("initdb", *words.split(), "-D", str(self.data))

    @property
    def url(self) -> str:
        return f"postgres://postgres@/postgres?host={self.sockets}&port=5432"

    def start(self, **settings: str) -> None:
        given = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **settings}
        flags = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        line = [*self.user.prefix(self.data), str(self.programs / "postgres"), "-D", str(self.data)]
        self.process = subprocess.Popen([*line, *flags], cwd="/", stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + OPENS_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError):
                self.rows("select 1")
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL does not open")

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(OPENS_S)
            self.process = None

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def cluster(self) -> Cluster:
        return Cluster.connect(self.url, self.programs)

    def _run(self, program: str, *words: str) -> None:
        line = [*self.user.prefix(self.data), str(self.programs / program), *words]
        subprocess.run(line, check=True, capture_output=True, cwd="/")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pg")
    folder.chmod(0o755)  # PostgreSQL may run as another user
    running = Server(folder)
    running.start()
    running.rows("create table number (n bigint primary key)")
    yield running
    running.end(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def key() -> BackupKey:
    return BackupKey.create()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def repository(server: Server, key: BackupKey, place: Path) -> Repository:
    return Repository(open_store(str(place)), server.cluster().system, key)
