"""The supervisor's options and this host's roles, from environment variables. All have defaults.

An installation with FOREBAY_ROLES has several hosts: PostgreSQL, Redis and secrets are the same for
all of them, so no host makes any of its own.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from config import environment
from config.environment import words
from config.supervisor.terminal import RunProblem

GRPC_PORT = 50051
MOST_PROCESSES = 64
MOST_SCRAPED = 1_000  # processes with a port for metrics
ROLES = ("web", "grpc", "workers", "jobs")
_DOORS = {"web", "grpc"}
_OF_DOORS = ("FOREBAY_ADMITTING_PROCESSES",)  # each has its share of the limits while Redis is away
# The variable, the file in FOREBAY_HOME/secrets, and the variable that replaces both.
SHARED_KEYS = (
    ("FOREBAY_MASTER_KEY", "master.key", "FOREBAY_KMS_URL"),
    ("FOREBAY_AUDIT_SIGNING_KEY", "audit_signing.key", ""),
)


@dataclass(frozen=True)
class RunOptions:
    home: Path
    host: str
    port: int
    grpc_port: int | None  # 0: no gRPC; None: the first that is free, from GRPC_PORT on
    web_processes: int
    workers_per_engine: int
    worker_processes: int  # at most, unless one engine has more workers
    database_url: str
    redis_url: str
    engines_given: bool
    roles: frozenset[str]  # empty: this host has everything, and what it lacks is embedded
    model: Path | None
    slots: int
    context: int
    metrics_port: int = 0  # of the first process; 0: none listens
    tls: bool = False
    governs_clocks: bool = False

    def has(self, role: str) -> bool:
        return not self.roles or role in self.roles

    @property
    def near_host(self) -> str:
        """The host by which programs on this machine reach the platform."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{environment.nearby(self.host)}:{self.port}"


def read() -> RunOptions:
    roles = frozenset(words(os.environ.get("FOREBAY_ROLES", "")))
    if unknown := sorted(roles - set(ROLES)):
        raise RunProblem(f"FOREBAY_ROLES: {unknown[0]!r} is none of {', '.join(ROLES)}")
    if roles:
        require_shared(roles, os.environ, environment.HOME)
    environment.broker_url(os.environ.get("REDIS_URL", ""))
    model, grpc_port = (os.environ.get(f"FOREBAY_{name}") for name in ("MODEL", "GRPC_PORT"))
    return RunOptions(
        home=environment.HOME,
        host=os.environ.get("FOREBAY_HOST") or "127.0.0.1",
        port=_number("FOREBAY_PORT", 8000, 1, 65535),
        grpc_port=_number("FOREBAY_GRPC_PORT", 0, 0, 65535) if grpc_port else None,
        web_processes=_number("FOREBAY_WEB_PROCESSES", 1, 1, MOST_PROCESSES),
        workers_per_engine=_number("FOREBAY_WORKERS_PER_ENGINE", 1, 1, MOST_PROCESSES),
        worker_processes=_number("FOREBAY_WORKER_PROCESSES", _processors(), 1, MOST_PROCESSES),
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        engines_given=bool(os.environ.get("FOREBAY_ENGINES")),
        roles=roles,
        model=Path(model).expanduser().resolve() if model else None,
        slots=_number("FOREBAY_SLOTS", 16, 1, 256),
        context=_number("FOREBAY_CONTEXT", 2048, 128, 1_000_000),
        metrics_port=_number("FOREBAY_METRICS_PORT", 0, 0, 65535 - MOST_SCRAPED),
        tls=environment.has_tls(),
        governs_clocks=environment.energy() in ("clocks", "on"),
    )


def _processors() -> int:
    """Returns 2 to 8: of two worker processes one goes on while the other starts again."""
    return min(max(2, len(os.sched_getaffinity(0))), 8)


def _number(name: str, default: int, low: int, high: int) -> int:
    raw = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
        raise RunProblem(f"{name} must be a whole number from {low} to {high}, not {raw!r}")
    return int(raw)


def require_shared(roles: frozenset[str], variables: Mapping[str, str], home: Path) -> None:
    """Raises RunProblem if this host would make a secret or server that all hosts must share."""
    for name in ("DATABASE_URL", "REDIS_URL", *(_OF_DOORS if roles & _DOORS else ())):
        if not variables.get(name):
            raise RunProblem(
                f"FOREBAY_ROLES is set: set {name} as well, the same on every host "
                "(docs/deployment-hosts.md)"
            )
    for name, file, replacement in SHARED_KEYS:
        path = home / "secrets" / file
        if not (variables.get(name) or variables.get(replacement) or path.exists()):
            raise RunProblem(
                f"FOREBAY_ROLES is set, and this host has no {name}: set it as on every other "
                f"host, or copy {path} from there"
            )


def runs_here(engine: str) -> bool:
    """Returns whether this host runs the workers of an engine.

    FOREBAY_ENGINES_HERE lists names and patterns such as `gpu-1-*`, with commas in between; unset,
    it means all.
    """
    patterns = words(os.environ.get("FOREBAY_ENGINES_HERE", "")) or ["*"]
    return any(fnmatchcase(engine, pattern) for pattern in patterns)
