"""PostgreSQL clusters of their own, and a folder for their backups."""

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

from config.backup import bases
from config.backup.bases import StoredBase
from config.backup.cluster import Cluster
from config.backup.storage.backup_key import BackupKey
from config.backup.storage.repository import Repository, open_store
from config.supervisor.embedded.postgres_programs import SystemUser, binaries

OPENS_S = 30
_INITDB = (
    "--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync"
    " --wal-segsize=1"  # MB: a few rows fill a segment
)


@dataclass
class Server:
    """A cluster that may be killed and started again; its data are a copy of `template`."""

    folder: Path
    template: Path
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.user = SystemUser()
        self.programs = binaries(self.user)
        self.data, self.sockets = self.folder / "data", self.folder / "s"
        self.folder.chmod(0o755)  # PostgreSQL may run as another user
        self.sockets.mkdir(mode=0o700)
        self.user.own(self.sockets)
        shutil.copytree(self.template, self.data)
        self.user.own_tree(self.data)

    @property
    def url(self) -> str:
        return f"postgres://postgres@/postgres?host={self.sockets}&port=5432"

    def start(self, **settings: str) -> None:
        every = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **settings}
        flags = [part for name, value in every.items() for part in ("-c", f"{name}={value}")]
        line = [*self.user.prefix(self.data), str(self.programs / "postgres"), "-D", str(self.data)]
        self.process = subprocess.Popen([*line, *flags], cwd="/", stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + OPENS_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError):
                self.rows("create table if not exists number (n bigint primary key)")
                return
            time.sleep(0.05)
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a cluster that has never run."""
    user = SystemUser()
    folder = tmp_path_factory.mktemp("pg-template")
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    user.own(data)
    line = [*user.prefix(data), str(binaries(user) / "initdb"), *_INITDB.split(), "-D", str(data)]
    subprocess.run(line, check=True, capture_output=True, cwd="/")
    return data


@contextlib.contextmanager
def a_server(factory: pytest.TempPathFactory, template: Path, **settings: str) -> Iterator[Server]:
    folder = factory.mktemp("pg")
    running = Server(folder, template)
    try:
        running.start(**settings)
        yield running
    finally:
        running.end(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Server]:
    """A cluster for tests that leave it running."""
    with a_server(tmp_path_factory, template) as running:
        yield running


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Server]:
    """A cluster that the test may kill."""
    with a_server(tmp_path_factory, template) as running:
        yield running


@pytest.fixture(scope="session")
def key() -> BackupKey:
    return BackupKey.create()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture(scope="session")
def one_base(
    shared: Server, key: BackupKey, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, StoredBase]:
    """A place with one base backup of the shared cluster: to be copied."""
    folder = tmp_path_factory.mktemp("one-base")
    repository = Repository(open_store(str(folder)), shared.cluster().system, key)
    return folder, bases.take(repository, shared.cluster())


@pytest.fixture
def base(one_base: tuple[Path, StoredBase], place: Path) -> StoredBase:
    """The shared cluster's base backup, in this test's place."""
    folder, taken = one_base
    shutil.copytree(folder, place)
    return taken


@pytest.fixture
def repository(shared: Server, key: BackupKey, place: Path) -> Repository:
    """The shared cluster's, in this test's place."""
    return Repository(open_store(str(place)), shared.cluster().system, key)
