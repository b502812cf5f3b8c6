"""The embedded PostgreSQL and Valkey of a run, or of one of its workers."""

import asyncio
import threading
from pathlib import Path

import psycopg
from psycopg import sql

from config.supervisor.embedded.postgres import ROLE, SETTINGS, Postgres
from config.supervisor.embedded.valkey import Valkey
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.own_processes import OwnProcesses
from tests import prepared

START_S = 60


class ForgetfulPostgres(Postgres):
    """What tests write outlives a kill, as ever, but no power cut.

    Nor do plans depend on when an autovacuum came by.
    """

    has_port = True  # for tests that stand between it and who asks

    settings = {
        **SETTINGS,
        "fsync": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "scram_iterations": "1",  # of passwords that are set from now on
    }


class ValkeyAtAPort(Valkey):
    has_port = True


class Servers:
    """With a loop and a thread of their own: they end with that thread at the latest."""

    def __init__(self, folder: Path, *, database: bool, redis: bool) -> None:
        self.home = Home(folder)
        self.home.take()
        self._keeper = Keeper(self.home, OwnProcesses(self.home))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.addresses: dict[str, str] = {}
        self._servers: list[Postgres | Valkey] = []
        if database:
            prepared.passwords(self.home)
            self._postgres = postgres = ForgetfulPostgres(self.home, self._keeper)
            self.addresses["DATABASE_URL"] = postgres.url
            self._servers.append(postgres)
        if redis:
            valkey = ValkeyAtAPort(self.home, self._keeper)
            self.addresses["REDIS_URL"] = valkey.url
            self._servers.append(valkey)

    def start(self) -> None:
        self._thread.start()
        for server in self._servers:
            asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(START_S)

    def add_pgvector(self) -> None:
        """Give it to databases of tests, which a role migrates that may not create it."""
        url = self._postgres.administrators_url
        with psycopg.connect(url, dbname="template1", autocommit=True) as connection:
            connection.execute("create extension if not exists vector")

    def shorten_logins(self) -> None:
        """Set passwords again: 4096 rounds for each session are a twentieth of a run's CPU."""
        roles = {ROLE: "database.password", "postgres": "postgres.password"}
        with psycopg.connect(self._postgres.administrators_url, autocommit=True) as connection:
            for role, secret in roles.items():
                password = sql.Literal(self.home.password(secret))
                change = sql.SQL("alter role {} password {}").format(sql.Identifier(role), password)
                connection.execute(change)

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._keeper.stop(), self._loop).result(START_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
