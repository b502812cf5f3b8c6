"""Forebay as `make run` starts it, everything on, in a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.servers.child import REPOSITORY, Child, temporary_folder, wait_until_listening
from bench.servers.processes import use_by_role
from bench.servers.targets import MODEL, MockEngine, Target
from config.supervisor.ports import find_free

START_SECONDS = 180
# Of whoever runs the bench; the platform under test brings its own servers.
FOREIGN = (
    "DATABASE_URL",
    "FOREBAY_REQUESTS_DATABASE_URL",
    "REDIS_URL",
    "KEYRING_DATABASE_URL",
    "FOREBAY_MODEL",
    "FOREBAY_DATABASE_SCOPE",
)
LIMITS = (
    "--requests-per-minute",
    "--burst",
    "--tokens-per-minute",
    "--max-concurrency",
    "--megabytes-in-flight",
    "--megabytes-per-day",
)
UNLIMITED = [word for limit in LIMITS for word in (limit, "0")]


class Forebay:
    """A running platform, ready when constructed.

    `engines` None: the embedded llama.cpp. `variables`: of its environment. `key`: of an earlier
    run on this home.
    """

    def __init__(
        self,
        folder: Path,
        engines: dict[str, Any] | None = None,
        *,
        ready: str = "/readyz",
        grpc: bool = False,
        variables: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> None:
        self.home = folder / "home"
        self.port = find_free()
        self.grpc_port = find_free() if grpc else 0
        self.env = {k: v for k, v in os.environ.items() if k not in FOREIGN}
        self.env |= {
            "FOREBAY_HOME": str(self.home),
            "FOREBAY_HOST": "127.0.0.1",
            "FOREBAY_PORT": str(self.port),
            "FOREBAY_GRPC_PORT": str(self.grpc_port),
            # One address sends all the load; a real one would be stopped by its limit.
            "FOREBAY_IP_PER_MINUTE": "0",
            "FOREBAY_MFA": "optional",
            **(variables or {}),
        }
        self.env.pop("FOREBAY_ENGINES", None)
        if engines is not None:
            self.env["FOREBAY_ENGINES"] = json.dumps(engines)
        supervisor = [sys.executable, "-m", "config.supervisor"]
        self.child = Child(supervisor, folder / "forebay.log", self.env)
        try:
            self.child.wait_until_ready(f"http://127.0.0.1:{self.port}{ready}", START_SECONDS)
            if grpc:
                wait_until_listening(self.grpc_port, START_SECONDS)
            self.key = key or self.new_key()
        except BaseException:
            self.child.stop(30)
            raise

    def new_key(self) -> str:
        """The API key of a new tenant without limits."""
        return self.key_of("bench")

    def key_of(self, tenant: str, *options: str) -> str:
        """The API key of a new tenant of that name, without limits; `options` of create_tenant."""
        self.manage("create_tenant", tenant, *UNLIMITED, *options, "--json")
        answer = json.loads(self.manage("create_api_key", tenant, "--name", "load", "--json"))
        return str(answer["api_key"])

    def manage(self, *arguments: str) -> str:
        """Returns the output of `manage.py`; its error output goes to ours."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the platform's database: `manage.py shell` is refused there."""
        url = self.running()["DATABASE_URL"]
        with psycopg.connect(url, options="-c forebay.system=on") as connection:
            return connection.execute(sql, parameters).fetchall()

    def running(self) -> dict[str, str]:
        """DATABASE_URL, REDIS_URL and so on, as the supervisor wrote them down."""
        variables: dict[str, str] = json.loads((self.home / "run" / "env.json").read_text())
        return variables

    def target(self, model: str = MODEL) -> Target:
        url = f"http://127.0.0.1:{self.port}/v1"
        return Target("Forebay", url, self.key, model, lambda: use_by_role(self.child.pid))

    def stop(self) -> float:
        """Seconds the platform took to end after SIGTERM."""
        return self.child.stop(30)


@contextmanager
def mock_engine() -> Iterator[MockEngine]:
    """It runs while the context lasts."""
    with temporary_folder() as folder:
        mock = MockEngine(folder)
        try:
            yield mock
        finally:
            mock.child.stop()


@contextmanager
def forebay_on(engines: dict[str, Any] | None, **options: Any) -> Iterator[Forebay]:
    """It runs while the context lasts. Options are those of `Forebay`."""
    with temporary_folder() as folder:
        forebay = Forebay(folder, engines, **options)
        try:
            yield forebay
        finally:
            forebay.stop()


@contextmanager
def forebay_on_mock_engine(
    *, grpc: bool = False, variables: Mapping[str, str] | None = None, **engine: Any
) -> Iterator[tuple[MockEngine, Forebay]]:
    """Both run while the context lasts. `engine`: fields of the engine that differ."""
    with mock_engine() as mock:
        fields = {"kind": "openai", "url": mock.url, "slots": 64} | engine
        with forebay_on({MODEL: fields}, grpc=grpc, variables=variables) as forebay:
            yield mock, forebay
