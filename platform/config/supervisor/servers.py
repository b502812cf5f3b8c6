"""PostgreSQL, Redis and the engines: each is embedded, or named by the environment."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config import environment
from config.supervisor.embedded.postgres import (
    CONNECTIONS,
    CONNECTIONS_OF_A_PROCESS,
    CONNECTIONS_OF_A_WORKER,
    REQUESTS_ROLE,
    ROLE,
    Postgres,
)
from config.supervisor.embedded.valkey import Valkey
from config.supervisor.engines.embedded_engine import Engine
from config.supervisor.engines.launches import Launches, launched
from config.supervisor.external_servers import require_database, require_redis
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.options import RunOptions
from config.supervisor.terminal import RunProblem, done
from config.tls import configured_files
from inference import engine_entries

ENGINES_TO_COME = 5  # connections are reserved for so many beside those in FOREBAY_ENGINES


class Servers:
    """The servers of this host. All addresses are known before any of them runs."""

    def __init__(self, options: RunOptions, home: Home, keeper: Keeper) -> None:
        own_engine = not (options.engines_given or options.roles)
        keeper.beside_engine = own_engine
        self._postgres = None if options.database_url else _postgres(options, home, keeper)
        self._valkey = None if options.redis_url else Valkey(home, keeper)
        self.database_url = self._postgres.url if self._postgres else options.database_url
        self._engine = Engine(options, home, keeper, self.database_url) if own_engine else None
        self.redis_url = self._valkey.url if self._valkey else options.redis_url
        engines, servers = launched(_given_engines(), home)
        self.engines = {self._engine.name: self._engine.description} if self._engine else engines
        self.launches = Launches(
            home, keeper, self.database_url, servers, environment.model_folders()
        )

    def variables(self, options: RunOptions) -> dict[str, str]:
        """Returns the variables of every process; env.json keeps them for manage.py."""
        variables = {
            "FOREBAY_HOME": str(options.home),
            "FOREBAY_HOST": options.host,
            "FOREBAY_PORT": str(options.port),
            "FOREBAY_GRPC_PORT": str(options.grpc_port),
            "FOREBAY_WEB_PROCESSES": str(options.web_processes),
            "FOREBAY_WORKERS_PER_ENGINE": str(options.workers_per_engine),
            "FOREBAY_WORKER_PROCESSES": str(options.worker_processes),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "FOREBAY_PUBLIC_URL": environment.public_url(options.host, options.port),
            **_tls(),
        }
        external_url = os.environ.get("FOREBAY_REQUESTS_DATABASE_URL", "")
        if url := self._postgres.requests_url if self._postgres else external_url:
            variables["FOREBAY_REQUESTS_DATABASE_URL"] = url
        if self._postgres:  # it has no standby that could become primary
            variables["FOREBAY_FAILOVER_WAIT_S"] = os.environ.get("FOREBAY_FAILOVER_WAIT_S", "1")
        if self.engines:  # a host without engines names none, so that those of other hosts stay
            variables["FOREBAY_ENGINES"] = json.dumps(self.engines)
        return variables

    @property
    def has_own_database(self) -> bool:
        return self._postgres is not None

    @property
    def administrator(self) -> dict[str, str]:
        """The further variables of `migrate` where the database is embedded."""
        if not self._postgres:
            return {}
        return {
            "DATABASE_URL": self._postgres.administrators_url,
            "FOREBAY_APPLICATION_ROLE": ROLE,
            "FOREBAY_REQUESTS_ROLE": REQUESTS_ROLE,
        }

    async def start_database(self) -> None:
        await (self._postgres.start() if self._postgres else require_database(self.database_url))
        done("database ready")

    async def start_redis(self) -> None:
        await (self._valkey.start() if self._valkey else require_redis(self.redis_url))
        done("redis ready")

    async def start_engine(self) -> None:
        if self._engine:
            await self._engine.start()
            done(f"engine ready: {self._engine.name}")

    def note_registered_engines(self) -> None:
        if self._engine:
            self._engine.registered.set()


def _postgres(options: RunOptions, home: Home, keeper: Keeper) -> Postgres:
    return Postgres(home, keeper, connections(options))


def connections(options: RunOptions) -> int:
    """Returns how many PostgreSQL has to allow: the first process of each kind has its share."""
    entries = engine_entries.entries(environment.engines())
    queues = sum(len(entry.queues(options.workers_per_engine)) for entry in entries)
    workers = min(queues, options.worker_processes)
    further = ENGINES_TO_COME + options.web_processes - 1
    of_workers = max(0, workers - 1) * CONNECTIONS_OF_A_WORKER
    return CONNECTIONS + further * CONNECTIONS_OF_A_PROCESS + of_workers


def _tls() -> dict[str, str]:
    certificate, key = configured_files.own_files()
    if not certificate:
        return {}
    variables = {"FOREBAY_TLS_CERTIFICATE": certificate, "FOREBAY_TLS_KEY": key}
    authority = environment.variable("FOREBAY_TLS_CA") or str(configured_files.own_authority())
    return {**variables, **({"FOREBAY_TLS_CA": authority} if Path(authority).exists() else {})}


def _given_engines() -> Mapping[str, dict[str, Any]]:
    engines = environment.engines()
    for entry in engine_entries.entries(engines):
        url = str(entry.fields.get("url", "http://"))
        if not url.startswith(("http://", "https://")):
            raise RunProblem(
                f"FOREBAY_ENGINES: the url of {entry.engine!r} must begin with http:// or https://"
            )
    return engines
