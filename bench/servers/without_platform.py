"""PostgreSQL and Valkey of the bench's own, for what is measured without the rest of a platform."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.figures.progress import exit_on_sigterm
from bench.servers.child import temporary_folder

START_S = 60


@contextmanager
def django_on_own_servers(**environment: str) -> Iterator[None]:
    """Empty tables in a temporary folder, as `make run` makes them; Django is set up on them."""
    exit_on_sigterm()
    with _servers(environment):
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


@contextmanager
def valkey_alone() -> Iterator[str]:
    """Yields its address. Django is set up, without a database."""
    exit_on_sigterm()
    with _servers({}, database=False):
        import django

        django.setup()
        yield os.environ["REDIS_URL"]


@contextmanager
def _servers(environment: dict[str, str], *, database: bool = True) -> Iterator[None]:
    with temporary_folder() as folder:
        os.environ |= {
            "FOREBAY_HOME": str(folder / "home"),
            "FOREBAY_DATABASE_SCOPE": "system",
            "FOREBAY_MFA": "optional",
            "FOREBAY_ENGINES": "{}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **environment,
        }
        from config.supervisor.embedded.postgres import Postgres
        from config.supervisor.embedded.valkey import Valkey
        from config.supervisor.home import Home
        from config.supervisor.keeper import Keeper
        from config.supervisor.own_processes import OwnProcesses

        home = Home(folder / "home")
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
