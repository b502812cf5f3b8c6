"""PostgreSQL and Valkey for the tests, unless DATABASE_URL and REDIS_URL name others.

A pytest plugin that is loaded before the settings are (`-p tests.embedded`): addresses are fixed
at once, the servers start only when a test that needs them has been collected.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_folder = Path(tempfile.mkdtemp(prefix="forebay-tests-"))
_folder.chmod(0o755)  # PostgreSQL may run as another user
os.environ["FOREBAY_HOME"] = str(_folder / "home")
os.environ["FOREBAY_MFA"] = "optional"  # tests of the duty turn it on
os.environ["FOREBAY_DATABASE_SCOPE"] = "system"  # tests look at every tenant
os.environ.setdefault(
    "FOREBAY_ENGINES",
    '{"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 4}}',
)

from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.kin import Kin
from config.supervisor.postgres import Postgres
from config.supervisor.valkey import Valkey

START_S = 60


class Embedded:
    """Servers with a loop and a thread of their own: they end with that thread at the latest."""

    def __init__(self) -> None:
        home = Home(_folder / "home")
        home.take()
        self._keeper = Keeper(home, Kin(home))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[Postgres | Valkey] = []
        if not os.environ.get("DATABASE_URL"):
            postgres = Postgres(home, self._keeper)
            os.environ["DATABASE_URL"] = postgres.url
            self._servers.append(postgres)
        if not os.environ.get("REDIS_URL"):
            valkey = Valkey(home, self._keeper)
            os.environ["REDIS_URL"] = valkey.url
            self._servers.append(valkey)

    def start(self) -> None:
        self._thread.start()
        for server in self._servers:
            asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(START_S)

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._keeper.stop(), self._loop).result(START_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        shutil.rmtree(_folder, ignore_errors=True)


_embedded = Embedded()


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly and any(map(_needs_servers, session.items)):
        _embedded.start()
        _let_tests_truncate()


def _let_tests_truncate() -> None:
    """Django empties the tables between tests. Only this test database allows it."""
    from django.db.models.signals import post_migrate

    from tests.unguarded import allow_truncate

    post_migrate.connect(allow_truncate, dispatch_uid="tests")  # after ours, which forbids it


@pytest.fixture(autouse=True)
def no_key_outlives_its_test() -> Iterator[None]:
    """Nor the connection by which a keyring hears of others."""
    yield
    _stop_watching()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any) -> Any:
    """What longer fixtures leave behind must not keep the test database from being dropped."""
    made = yield
    if fixturedef.argname == "django_db_setup":
        fixturedef.addfinalizer(_stop_watching)
    return made


def _stop_watching() -> None:
    if module := sys.modules.get("audit.key_watch"):
        for watch in list(module.KeyWatch.living):
            watch.stop()


def pytest_unconfigure() -> None:
    _embedded.stop()


def _needs_servers(item: pytest.Item) -> bool:
    return item.get_closest_marker("unit") is None
