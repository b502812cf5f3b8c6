"""A platform on several hosts: the commands of docs/deployment-hosts.md, each in its namespace."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import psycopg
from django.conf import settings

from bench.servers.child import Child, wait_until_listening
from bench.servers.forebay import FOREIGN
from bench.servers.processes import tree
from config.environment import PROJECT
from config.supervisor.embedded import valkey
from config.supervisor.embedded.postgres import REQUESTS_ROLE, ROLE, SETTINGS
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from tests import prepared
from tests.e2e.ask import eventually
from tests.e2e.commands import Commands
from tests.hosts.network import Namespace

POSTGRES, VALKEY, WEB, GRPC, ENGINE = 5432, 6379, 8000, 50051, 9000
PASSWORD = "of-the-hosts"
START_S, SLOTS = 60, 8


class DataHost:
    """PostgreSQL, of a platform that was started once, and Valkey."""

    def __init__(
        self, place: Namespace, folder: Path, prepare: Callable[[Path], None] = prepared.home
    ) -> None:
        self.place, self.home = place, folder / "home"
        prepare(self.home)
        self._children = [self._postgres(folder), self._valkey(folder)]
        for port in (POSTGRES, VALKEY):
            wait_until_listening(port, START_S, place.address)
        eventually(lambda: self.ask("select 1"), START_S)  # it listens before it has recovered

    def _postgres(self, folder: Path) -> Child:
        data, user = self.home / "postgres", SystemUser()
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/16 scram-sha-256\n")
        ours = {"listen_addresses": "*", "unix_socket_directories": "", "port": str(POSTGRES)}
        given = {**SETTINGS, **ours}
        flags = [part for item in given.items() for part in ("-c", "=".join(item))]
        program = str(binaries(user) / "postgres")
        command = [*self.place.prefix, *user.prefix(data), program, "-D", str(data), *flags]
        return Child(command, folder / "postgres.log", {**os.environ, "LC_ALL": "C"})

    def _valkey(self, folder: Path) -> Child:
        words = f"--bind {self.place.address} --port {VALKEY} --requirepass {PASSWORD} --save"
        program = str(valkey.binary())
        return Child([*self.place.prefix, program, *words.split(), ""], folder / "valkey.log")

    @property
    def shared(self) -> dict[str, str]:
        """What every host is told."""
        keys = {
            "FOREBAY_MASTER_KEY": "master.key",
            "FOREBAY_AUDIT_SIGNING_KEY": "audit_signing.key",
        }
        return {
            "DATABASE_URL": self._url("forebay", "database.password"),
            "FOREBAY_REQUESTS_DATABASE_URL": self._url("forebay_requests", "requests.password"),
            "REDIS_URL": f"redis://:{PASSWORD}@{self.place.address}:{VALKEY}/0",
            "FOREBAY_ADMITTING_PROCESSES": "2",
            "FOREBAY_IP_PER_MINUTE": "0",
            "FOREBAY_MFA": "optional",
            **{name: self._secret(file).split()[0] for name, file in keys.items()},
        }

    @property
    def key(self) -> str:
        return (self.home / prepared.BENCH_KEY).read_text()

    @property
    def administrator(self) -> dict[str, str]:
        """What `migrate` is told beyond that."""
        return {
            "DATABASE_URL": self._url("postgres", "postgres.password"),
            "FOREBAY_APPLICATION_ROLE": ROLE,
            "FOREBAY_REQUESTS_ROLE": REQUESTS_ROLE,
        }

    def _url(self, role: str, secret: str) -> str:
        place = f"{self.place.address}:{POSTGRES}"
        return f"postgres://{role}:{self._secret(secret)}@{place}/forebay"

    def _secret(self, name: str) -> str:
        return (self.home / "secrets" / name).read_text().strip()

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.shared["DATABASE_URL"], **settings.SEES_ALL) as connection:
            return connection.execute(query).fetchall()

    def manage(self, *arguments: str) -> str:
        commands = Commands({**bare(), **self.shared, "FOREBAY_HOME": str(self.home)})
        try:
            return commands(*arguments)
        finally:
            commands.end()

    def stop(self) -> None:
        for child in reversed(self._children):
            child.process.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
            child.stop()


class Host:
    """One with roles: `FOREBAY_ROLES=… make run`, of the version in `tree`."""

    def __init__(
        self,
        place: Namespace,
        folder: Path,
        roles: str,
        told: Mapping[str, str],
        tree: Path = PROJECT,
    ) -> None:
        self.place, self.folder, self.tree = place, folder, tree
        folder.mkdir(exist_ok=True)
        self._env = {
            **bare(),
            **told,
            "FOREBAY_HOME": str(folder),
            "FOREBAY_HOST": place.address,
            "FOREBAY_PORT": str(WEB),
            "FOREBAY_GRPC_PORT": str(GRPC),
            "FOREBAY_ROLES": roles,
            "PYTHONPATH": os.pathsep.join(map(str, (tree, tree / "platform"))),
        }
        self.start()

    def start(self, **told: str) -> None:
        command = [*self.place.prefix, sys.executable, "-m", "config.supervisor"]
        self.child = Child(command, self.folder / "forebay.log", self._env | told, self.tree)

    @property
    def url(self) -> str:
        return f"http://{self.place.address}:{WEB}"

    def is_ready(self) -> bool:
        return "Ctrl-C stops everything" in self.child.log.read_text(errors="replace")

    def lose(self) -> None:
        """All of it at once, as by a power cut: nobody is told."""
        self.place.cut()
        for process in tree(self.child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self.child.process.wait(10)


class MockEngine:
    def __init__(self, place: Namespace, folder: Path, **behaviour: float) -> None:
        flags = [w for name, value in behaviour.items() for w in (f"--{name}", str(value))]
        address = ["--host", place.address, "--port", str(ENGINE)]
        command = [sys.executable, "-m", "bench.mock_engine", *address, *flags]
        self.child = Child([*place.prefix, *command], folder / "engine.log")
        self._address = f"{place.address}:{ENGINE}"
        self.url = f"http://{self._address}/v1"

    @property
    def peak(self) -> int:
        """The most requests that it had at once."""
        found = httpx.get(f"http://{self._address}/control").json()
        return int(found["peak"])


def engines(**urls: str) -> str:
    """FOREBAY_ENGINES: one model, a pool, an engine for each address."""
    entries = [{"url": url} for url in urls.values()]
    pool = {"kind": "openai", "slots": SLOTS, "engines": entries}
    return json.dumps({"mock": {"context_length": 4096, "pools": {"mock": pool}}})


def bare() -> dict[str, str]:
    """The environment of whoever runs the tests, without what names servers of theirs."""
    ours = ("FOREBAY_", *FOREIGN)
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
