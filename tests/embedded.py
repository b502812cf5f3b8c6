"""PostgreSQL and Valkey for the tests, unless DATABASE_URL and REDIS_URL name others.

A pytest plugin that is loaded before the settings are (`-p tests.embedded`): addresses are fixed
at once, the servers start only when a test that needs them has been collected. Each worker of
pytest-xdist has its own.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# Hundreds of processes start in the course of a run: each would compile everything.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_folder = Path(tempfile.mkdtemp(prefix="forebay-tests-"))
_folder.chmod(0o755)  # PostgreSQL may run as another user
os.environ.setdefault("FOREBAY_TESTS_RUN", str(_folder))  # what the workers of a run share
os.environ["FOREBAY_HOME"] = str(_folder / "home")
os.environ["FOREBAY_FAILOVER_WAIT_S"] = "1"  # there is no other server to wait for
os.environ["FOREBAY_MFA"] = "optional"  # tests of the duty turn it on
os.environ["FOREBAY_DATABASE_SCOPE"] = "system"  # tests look at every tenant
os.environ.setdefault(
    "FOREBAY_ENGINES",
    '{"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 4}}',
)

from tests import prepared
from tests.key_watches import stop_watching
from tests.servers import Servers

# A worker inherits the addresses of the process that started it: those were not given.
_given = os.environ.setdefault(
    "FOREBAY_TESTS_GIVEN",
    " ".join(name for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)),
).split()
own_database = "DATABASE_URL" not in _given
_servers = Servers(_folder / "home", database=own_database, redis="REDIS_URL" not in _given)
os.environ |= _servers.addresses


_preparing = threading.Thread(target=prepared.keep_home)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    if any(item.get_closest_marker("e2e") for item in session.items):
        _preparing.start()  # while others make the database
    if not any(map(_needs_servers, session.items)):
        return
    if own_database:
        prepared.database(_servers.home)
    _servers.start()
    from tests.unguarded import let_tests_truncate

    let_tests_truncate()


@pytest.fixture(autouse=True)
def no_key_outlives_its_test() -> Iterator[None]:
    """Nor the connection by which a keyring hears of others."""
    yield
    stop_watching()


def pytest_unconfigure() -> None:
    if _preparing.ident:
        _preparing.join()
    _servers.stop()
    shutil.rmtree(_folder, ignore_errors=True)


def _needs_servers(item: pytest.Item) -> bool:
    """Those that look at a running platform do not, unless they look at a database as well."""
    if item.get_closest_marker("e2e"):
        return "db" in getattr(item, "fixturenames", ()) or bool(
            item.get_closest_marker("django_db")
        )
    return item.get_closest_marker("unit") is None
