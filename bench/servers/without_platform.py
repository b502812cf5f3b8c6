"""PostgreSQL and Valkey of the bench's own, for what is measured without the rest of a platform."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers.child import temporary_folder

START_S = 60


@contextmanager
def django_on_own_servers(*, database: bool = True, **environment: str) -> Iterator[None]:
    """Empty tables in a temporary folder, as `make run` makes them; Django is set up on them.

    What uses Django or its settings is imported after that. False: Valkey alone.
    """
    with temporary_folder() as folder:
        os.environ |= {
            "FOREBAY_HOME": str(folder / "home"),
            "FOREBAY_DATABASE_SCOPE": "system",
            "FOREBAY_MFA": "optional",
            "FOREBAY_ENGINES": "{}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **environment,
        }
        with own_servers(folder / "home", database):
            import django

            django.setup()
            from django.core.management import call_command
            from django.db import connections

            if database:
                call_command("migrate", verbosity=0)
            yield
            connections.close_all()


@contextmanager
def own_servers(folder: Path, database: bool = True) -> Iterator[None]:
    """PostgreSQL and Valkey run while the context lasts; the environment names them."""
    from config.supervisor.embedded.postgres import Postgres
    from config.supervisor.embedded.valkey import Valkey
    from config.supervisor.home import Home
    from config.supervisor.keeper import Keeper
    from config.supervisor.own_processes import OwnProcesses

    home = Home(folder)
    home.take()
    keeper, loop = Keeper(home, OwnProcesses(home)), asyncio.new_event_loop()
    postgres, valkey = Postgres(home, keeper), Valkey(home, keeper)
    os.environ |= {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        for server in (postgres, valkey) if database else (valkey,):
            asyncio.run_coroutine_threadsafe(server.start(), loop).result(START_S)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(keeper.stop(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def in_chunks(rows: int, size: int = 500_000) -> Iterator[dict[str, int]]:
    """Yields the first and last number of so many rows at a time, for SQL that makes them."""
    for first in range(1, rows + 1, size):
        yield {"first": first, "last": min(first + size - 1, rows), "total": rows}
