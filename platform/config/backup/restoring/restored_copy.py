"""Management commands on a restored database, over the URL of its superuser."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.backup.restoring.management import manage
from config.supervisor.embedded.valkey import binary
from config.supervisor.terminal import RunProblem
from infrastructure import release

_OPENS_S = 20
_RELEASE = "select version, oldest_beside from tenants_schemarelease"
_BEFORE_ANY = ("0.1.0", "0.1.0")  # which had no such table


def refuse_other_tables(url: str) -> None:
    """Raises RunProblem for tables on which this version does not run.

    Its commands would ask them for columns that they do not have.
    """
    version, oldest_beside = _release_of_tables(url)
    older = release.is_before(version, release.VERSION)
    if older or release.is_before(release.VERSION, oldest_beside):
        raise RunProblem(
            f"the tables in this backup are of Forebay {version}, and this is {release.VERSION}: "
            "install that version, restore with it, and upgrade then"
        )


def _release_of_tables(url: str) -> tuple[Any, ...]:
    """Returns the version that migrated them, and the oldest that runs on them."""
    try:
        with psycopg.connect(_database(url)) as connection:
            return connection.execute(_RELEASE).fetchone() or _BEFORE_ANY
    except psycopg.errors.UndefinedTable:
        return _BEFORE_ANY
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunProblem(f"the restored database cannot be read: {reason}") from None


def check_keys(url: str) -> None:
    """Raises RunProblem unless the master key and the others here are those of the database."""
    with _redis() as redis:
        _manage(url, redis, "check_keys")


def erase_again(url: str) -> None:
    """Apply every tombstone that the restored database lacks. Raises RunProblem."""
    with _redis() as redis:
        _manage(url, redis, "apply_tombstones")


def resume_sealing(url: str, checkpoints: Path, *, despite_findings: bool) -> None:
    """Verify the whole trail and put the restore on record. Raises RunProblem with the findings."""
    words = ["--witness", str(checkpoints)] if checkpoints.exists() else []
    words += ["--despite-findings"] if despite_findings else []
    with _redis() as redis:
        _manage(url, redis, "audit_resume", "--after-restore", *words)


def models_without_files(url: str) -> list[str]:
    """Returns versions of models whose files are not in FOREBAY_MODEL_STORE. Raises RunProblem."""
    with _redis() as redis:
        answer = json.loads(_manage(url, redis, "model_files", "--json"))
    return list(answer["without_files"])


def check(url: str) -> Mapping[str, Any]:
    """Returns findings, the number of events, and more. Raises RunProblem if it cannot look."""
    with _redis() as redis:
        answer: Mapping[str, Any] = json.loads(_manage(url, redis, "check_restored"))
    return answer


@contextmanager
def _redis() -> Iterator[str]:
    """The platform's own Redis if it has one, where an erasure has to reach; else an empty one."""
    if redis_url := os.environ.get("REDIS_URL"):
        yield redis_url
        return
    with tempfile.TemporaryDirectory(prefix="forebay-valkey-") as folder:
        socket = Path(folder) / "valkey.sock"
        words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        with subprocess.Popen([str(binary()), *words], stdout=subprocess.DEVNULL) as valkey:
            try:
                _wait_for(socket)
                yield f"unix://{socket}?db=0"
            finally:
                valkey.terminate()


def _wait_for(socket: Path) -> None:
    deadline = time.monotonic() + _OPENS_S
    while not socket.exists():
        if time.monotonic() > deadline:
            raise RunProblem("the embedded Valkey does not start")
        time.sleep(0.05)


def _database_name() -> str:
    """Returns the name of the platform's database in its cluster."""
    url = os.environ.get("DATABASE_URL", "")
    named = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}").get("dbname")
    return str(named or "forebay")


def _database(url: str) -> str:
    """Returns the URL of the platform's database in the cluster of the superuser's URL."""
    return url.replace("@/postgres?", f"@/{quote(_database_name(), safe='')}?")


def _manage(url: str, redis: str, *words: str) -> str:
    """Raises RunProblem."""
    variables = {
        "DATABASE_URL": _database(url),
        "FOREBAY_REQUESTS_DATABASE_URL": _database(url),
        "REDIS_URL": redis,
    }
    try:
        return manage(*words, variables=variables)
    except RunProblem as problem:
        raise RunProblem(f"on the restored database, {problem}") from None
