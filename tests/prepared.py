"""What every run would otherwise make anew: kept in .pytest_cache, by what it follows from.

`python -m tests.prepared FOLDER` makes a PostgreSQL with the migrated test database there.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.servers.forebay import Forebay
from config.environment import PROJECT
from config.supervisor.home import Home

_CACHE = PROJECT / ".pytest_cache" / "d" / "forebay"
_AT_MOST = 3  # of a kind: another branch may come back
# What an empty database shows: tables, functions, policies, partitions.
_SCHEMA = (
    "requirements/base.txt",
    "*/migrations/*.py",
    "*/sql/*.sql",
    "audit/trail/*.sql",
    "audit/trail/database_owner.py",
    "audit/trail/append_only.py",
    "audit/trail/partitions.py",
    "infrastructure/release.py",
    "infrastructure/postgres/schema_release.py",
    "tenants/sql_installation.py",
    "tenants/isolation/row_security.py",
    "tenants/isolation/catalogue.py",
    "tenants/isolation/composite_keys.py",
    "tests/prepared.py",
    "tests/servers.py",
    "tests/unguarded.py",
)
# What a first start leaves behind.
_FIRST_START = (
    "requirements/base.txt",
    *("audit/**/*", "tenants/**/*", "inference/**/*", "platform/**/*", "static/**/*"),
    "bench/servers/forebay.py",
    "tests/prepared.py",
)
BENCH_KEY = "bench.key"


def passwords(home: Home) -> None:
    """The same for every run, so that addresses are known before a database is made."""
    kept = _CACHE / "password"
    with _locked("password"):
        if not kept.exists():
            home.write_private(kept, secrets.token_urlsafe(24))
    for name in ("database.password", "postgres.password"):
        home.write_private(home.secrets / name, f"{kept.read_text()}-{name}")


def database(home: Home) -> None:
    """The data of a PostgreSQL with the test database in it."""
    copy(_kept("database", _SCHEMA, _make_database), home.root / "postgres")


def home(place: Path) -> None:
    """The FOREBAY_HOME of a platform that has been started once today, and stopped.

    In BENCH_KEY is the API key of a tenant without limits.
    """
    copy(keep_home(), place)


def keep_home() -> Path:
    """Starts a platform for the first time, unless that has been done today."""
    return _kept("home", _FIRST_START, _make_home)


def copy(kept: Path, place: Path) -> None:
    """With owners and modes, on which PostgreSQL insists."""
    subprocess.run(["cp", "-a", "--reflink=auto", kept, place], check=True)


def _make_database(folder: Path) -> Path:
    command = [sys.executable, "-m", "tests.prepared", str(folder / "home")]
    subprocess.run(command, cwd=PROJECT, check=True)
    return folder / "home" / "postgres"


def _make_home(folder: Path) -> Path:
    nobody = {"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    forebay = Forebay(folder, nobody, ready="/livez")
    forebay.child.stop(120)  # on a busy machine; what still runs would write while it is copied
    for name in ("logs", "run", "witness"):  # witnesses are told again in another place
        shutil.rmtree(forebay.home / name, ignore_errors=True)
    (forebay.home / BENCH_KEY).write_text(forebay.key)
    return forebay.home


def _kept(kind: str, sources: Iterable[str], make: Callable[[Path], Path]) -> Path:
    place = _CACHE / f"{kind}-{_fingerprint(sources)}"
    with _locked(kind):  # all workers of a run want it at the same time
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix="forebay-prepared-") as folder:
                Path(folder).chmod(0o755)  # PostgreSQL may run as another user
                draft = _CACHE / f"draft-{kind}"
                shutil.rmtree(draft, ignore_errors=True)
                copy(make(Path(folder)), draft)
                draft.rename(place)
        os.utime(place)
        _forget_old(kind)
    return place


def _forget_old(kind: str) -> None:
    found = sorted(_CACHE.glob(f"{kind}-*"), key=lambda place: place.stat().st_mtime)
    for place in found[:-_AT_MOST]:
        shutil.rmtree(place)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    _CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint(sources: Iterable[str]) -> str:
    """Also of the day: there are partitions for months, and moments that jobs look back to."""
    digest = hashlib.sha256(f"{datetime.now(UTC):%Y-%m-%d} {sys.version}".encode())
    found = {path for pattern in sources for path in PROJECT.glob(pattern)}
    for path in sorted(path for path in found if path.is_file() and path.suffix != ".pyc"):
        digest.update(f"\0{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(folder: Path) -> None:
    from tests.servers import Servers

    servers = Servers(folder, database=True, redis=False)
    os.environ |= servers.addresses | {
        "FOREBAY_HOME": str(folder),
        "FOREBAY_DATABASE_SCOPE": "system",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    servers.start()
    try:
        servers.add_pgvector()
        servers.shorten_logins()
        import django

        django.setup()
        from django.db import connection

        from tests import unguarded

        unguarded.let_tests_truncate()
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        connection.close()
    finally:
        servers.stop()


if __name__ == "__main__":
    _migrate(Path(sys.argv[1]))
