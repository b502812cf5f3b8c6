"""A cluster is put back into a folder: the base, and the log after it, to its end or a moment."""

import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from config.backup import bases
from config.backup.bases import Base
from config.backup.feeding import Feeder
from config.backup.repository import Repository, StoreError
from config.backup.sealed import Unreadable
from config.backup.stored_log import StoredLog
from config.supervisor.embedded.system_user import SystemUser
from config.supervisor.terminal import Problem

_OPENS_S = 24 * 3600  # a recovery of a day of log may take hours; it ends earlier if it fails


@dataclass(frozen=True, slots=True)
class Recovered:
    base: Base
    missing: int  # segments of the log that nobody had stored: the restore ends before them
    last_commit: datetime | None
    seconds: float


def choose(repository: Repository, at: datetime | None, label: str = "") -> Base:
    """Returns the newest base that ended before `at`, or the one of this label. Raises Problem."""
    fitting = [
        base
        for base in bases.all_bases(repository)
        if (not label or base.label == label)
        and (at is None or datetime.fromisoformat(base.ended_at) <= at)
    ]
    if not fitting:
        wanted = f"{f' {label}' if label else ''}{f' from before {at.isoformat()}' if at else ''}"
        raise Problem(
            f"there is no base backup{wanted}: `forebay backup list` shows those there are"
        )
    return fitting[-1]


@contextmanager
def recovered(
    repository: Repository, base: Base, data: Path, programs: Path, at: datetime | None = None
) -> Iterator[tuple[str, Recovered]]:
    """Put the cluster into `data` and let it run: yields its superuser's URL, and what came of it.

    PostgreSQL stops at the end. Raises Problem; then `data` is gone.
    """
    began = time.monotonic()
    user = SystemUser()
    data.mkdir(mode=0o700)
    try:
        _unpack(repository, base, data)
        user.own_tree(data)
        with _feed(repository, base, user) as (feeder, folder):
            server = _start(data, folder, programs, feeder.command(data), user, at)
            try:
                url = _wait_until_open(server, folder, feeder, data)
                last = _last_commit(url)
                missing = len(StoredLog.read(repository).missing_since(base)) if not at else 0
                yield url, Recovered(base, missing, last, time.monotonic() - began)
            finally:
                _stop(server)
    except (StoreError, Unreadable, tarfile.TarError, OSError) as error:
        shutil.rmtree(data, ignore_errors=True)
        raise Problem(f"the backup {base.label} cannot be put back: {error}") from None
    except Problem:
        shutil.rmtree(data, ignore_errors=True)
        raise


def _unpack(repository: Repository, base: Base, data: Path) -> None:
    """Open the base's tar into a folder, while it is read."""
    reading, writing = os.pipe()
    unpacking = _Unpacking(reading, data)
    unpacking.start()
    try:
        with open(writing, "wb") as target:
            bases.copy_tar(repository, base, target)
    except BrokenPipeError:
        pass  # it has ended, and knows why
    finally:
        unpacking.join()
    if unpacking.error:
        raise unpacking.error


class _Unpacking(threading.Thread):
    def __init__(self, descriptor: int, folder: Path) -> None:
        super().__init__(name="backup-unpacking", daemon=True)
        self._descriptor, self._folder = descriptor, folder
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with (
                open(self._descriptor, "rb") as source,
                tarfile.open(fileobj=source, mode="r|") as tar,
            ):
                tar.extractall(self._folder, filter="data")
                while source.read(1 << 16):  # zeros after the end; the writer is not cut off
                    pass
        except (tarfile.TarError, OSError) as error:
            self.error = error


@contextmanager
def _feed(repository: Repository, base: Base, user: SystemUser) -> Iterator[tuple[Feeder, Path]]:
    folder = Path(tempfile.mkdtemp(prefix="forebay-restore-"))
    user.own(folder)
    feeder = Feeder(StoredLog.read(repository), base.segment_bytes, folder, user.own)
    feeder.start()
    try:
        yield feeder, folder
    finally:
        feeder.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    data: Path, folder: Path, programs: Path, fetch: str, user: SystemUser, at: datetime | None
) -> subprocess.Popen[bytes]:
    (data / "recovery.signal").touch()
    user.own(data / "recovery.signal")
    rules = folder / "pg_hba.conf"  # the folder is ours alone, and the socket is in it
    rules.write_text("local all all trust\n")
    user.own(rules)
    settings = {
        "restore_command": fetch,
        "recovery_target_action": "promote",
        "hot_standby": "off",
        "hba_file": str(rules),
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "port": "5432",
        "archive_mode": "off",
        "log_min_error_statement": "panic",
    }
    if at:
        settings["recovery_target_time"] = at.isoformat()
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [*user.prefix(data), str(programs / "postgres"), "-D", str(data), *flags]
    with (folder / "postgres.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_open(
    server: subprocess.Popen[bytes], folder: Path, feeder: Feeder, data: Path
) -> str:
    """Returns the superuser's URL once the log has been replayed. Raises Problem."""
    url = f"postgres://postgres@/postgres?host={folder}&port=5432"
    deadline = time.monotonic() + _OPENS_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Problem(_why_it_ended(folder, feeder))
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                row = connection.execute("select pg_is_in_recovery()").fetchone()
                if row == (False,):
                    return url
        except psycopg.OperationalError:
            pass
        time.sleep(0.1)
    raise Problem(f"PostgreSQL did not open {data} within a day")


def _why_it_ended(folder: Path, feeder: Feeder) -> str:
    if feeder.error:
        return f"the stored log cannot be read: {feeder.error}"
    lines = (folder / "postgres.log").read_text(errors="replace").splitlines()
    reasons = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    if any("before configured recovery target" in reason for reason in reasons):
        return "the stored log ends before that moment: choose an earlier one, or none"
    return f"PostgreSQL does not open the restored database: {(reasons or lines or ['?'])[0]}"


def _last_commit(url: str) -> datetime | None:
    with psycopg.connect(url) as connection:
        row = connection.execute("select pg_last_xact_replay_timestamp()").fetchone()
    return row[0] if row else None


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
