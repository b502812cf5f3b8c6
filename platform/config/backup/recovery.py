"""A cluster is put back into a folder, and opened there: to its end or to a moment."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from config.backup.kind import Base, Kind
from config.supervisor.child import before_exec
from config.supervisor.terminal import RunProblem

_LOG_BYTES = 1 << 30  # of the log while it is replayed (max_wal_size)
_ROOM_BYTES = 512 << 20  # a copy beside a running database stops before it takes the last of it
_LONGEST_S = 24 * 3600  # the log of a busy day takes hours; a recovery that fails ends by itself
_SETTINGS = {
    "recovery_target_action": "promote",
    "hot_standby": "off",  # nobody connects before all is there
    "listen_addresses": "",
    "port": "5432",
    "archive_mode": "off",
    "log_min_error_statement": "panic",
    # What the original's configuration may have, and a copy beside it must not.
    "synchronous_standby_names": "",  # a commit would wait for ever
    "external_pid_file": "",
    "ssl": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
}


@dataclass(frozen=True, slots=True)
class Recovered:
    base: Base
    missing: int  # segments of the log that nobody had stored: the restore ends before them
    last_commit: datetime | None
    seconds: float


def choose(kind: Kind, at: datetime | None = None, label: str = "") -> Base:
    """Returns the newest base that ended before `at`, or this label's. Raises RunProblem."""
    fitting = [
        base
        for base in kind.bases()
        if (not label or base.label == label)
        and (at is None or datetime.fromisoformat(base.ended_at) <= at)
    ]
    if not fitting:
        wanted = f" {label}" if label else f" from before {at.isoformat()}" if at else ""
        raise RunProblem(f"there is no base backup{wanted}: `forebay backup list` shows all")
    return fitting[-1]


@contextmanager
def recovered(
    kind: Kind, base: Base, data: Path, at: datetime | None = None, *, is_durable: bool = True
) -> Iterator[tuple[str, Recovered]]:
    """Put the cluster into `data` and let it run: yields its superuser's URL, and what came of it.

    A copy to look at is not durable, which spares the disk. PostgreSQL stops at the end. Raises
    RunProblem; then, and if the context is left by an error, `data` is gone.
    """
    began = time.monotonic()
    _refuse_without_room(base, data.parent)
    data.mkdir(mode=0o700)
    try:
        with kind.put_back(base, data, at) as settings, _sockets(data) as folder:
            fsync = {"fsync": "on" if is_durable else "off"}
            server = _start(kind, data, folder, {**settings, **fsync})
            try:
                url = _wait_until_open(server, folder, None if is_durable else data)
                missing = 0 if at else kind.missing(base)
                yield url, Recovered(base, missing, _last_commit(url), time.monotonic() - began)
            finally:
                _stop(server)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise


def _refuse_without_room(base: Base, folder: Path) -> None:
    """Raises RunProblem: a full disk would stop the running database as well."""
    needs, free = base.content_bytes * 1.1 + _LOG_BYTES, shutil.disk_usage(folder).free
    if needs > free:
        raise RunProblem(
            f"{folder} has {free / 1e9:.1f} GB free, and {needs / 1e9:.1f} GB are needed: "
            "make room there"
        )


@contextmanager
def _sockets(data: Path) -> Iterator[Path]:
    """A folder that PostgreSQL's user alone may enter: who can connect there is trusted."""
    folder = Path(tempfile.mkdtemp(prefix="forebay-restore-"))
    try:
        (folder / "pg_hba.conf").write_text("local all all trust\n")
        (folder / "postgres.log").touch()
        (folder / "postgresql.conf").touch()
        owner = data.stat()
        for path in (*folder.iterdir(), folder):
            os.chown(path, owner.st_uid, owner.st_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    kind: Kind, data: Path, folder: Path, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    signal_file = data / "recovery.signal"
    signal_file.touch()
    os.chown(signal_file, data.stat().st_uid, data.stat().st_gid)
    ours = {"hba_file": str(folder / "pg_hba.conf"), "unix_socket_directories": str(folder)}
    if not (data / "postgresql.conf").exists():  # Debian has it in /etc, which no backup contains
        ours["config_file"] = str(folder / "postgresql.conf")
    every = {**_SETTINGS, **ours, **settings}
    flags = [part for name, value in every.items() for part in ("-c", f"{name}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        return subprocess.Popen(
            [*kind.prefix(data), str(kind.programs / "postgres"), "-D", str(data), *flags],
            env={**_pgbackrests_variables(), "LC_ALL": "C", "TZ": "UTC"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec(os.getpid(), signal.SIGINT),  # nobody else would stop it
        )


def _wait_until_open(server: subprocess.Popen[bytes], folder: Path, copy: Path | None) -> str:
    """Returns the superuser's URL once the log has been replayed.

    Raises RunProblem, also where a copy grows until the disk of the running database is full.
    """
    url = f"postgres://postgres@/postgres?host={folder}&port=5432"
    deadline = time.monotonic() + _LONGEST_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RunProblem(_why_it_ended((folder / "postgres.log").read_text(errors="replace")))
        if copy and shutil.disk_usage(copy).free < _ROOM_BYTES:
            raise RunProblem(f"the copy has grown until {copy.parent} was full: make room there")
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                if connection.execute("select pg_is_in_recovery()").fetchone() == (False,):
                    return url
        except psycopg.OperationalError:
            pass
        time.sleep(0.1)
    raise RunProblem("PostgreSQL did not open the restored database within a day")


def _pgbackrests_variables() -> dict[str, str]:
    """Returns what PostgreSQL's restore_command needs of ours."""
    ours = ("PATH", "PGBACKREST_")
    return {name: value for name, value in os.environ.items() if name.startswith(ours)}


def _why_it_ended(log: str) -> str:
    fatal = [line.partition("FATAL:")[2].strip() for line in log.splitlines() if "FATAL:" in line]
    reasons = [reason for reason in fatal if not reason.startswith("the database system is")]
    if any("before configured recovery target" in reason for reason in reasons):
        return "the stored log ends before that moment: choose an earlier one, or none"
    return f"PostgreSQL does not open the restored database: {(reasons or [log[-300:]])[-1]}"


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
