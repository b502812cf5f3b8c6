"""The supervisor's options, from environment variables. Each has a default."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from config import environment
from config.supervisor import roles
from config.supervisor.terminal import Problem

GRPC_PORT = 50051
MOST_PROCESSES = 64
MOST_SCRAPED = 1_000  # processes with a port for metrics


@dataclass(frozen=True)
class Options:
    home: Path
    host: str
    port: int
    grpc_port: int | None  # 0: no gRPC; None: the first that is free, from GRPC_PORT on
    web_processes: int
    workers_per_engine: int
    database_url: str | None
    redis_url: str | None
    engines_given: bool
    roles: frozenset[str]  # empty: this host has everything, and what it lacks is embedded
    model: Path | None
    slots: int
    context: int
    metrics_port: int = 0  # of the first process; 0: none listens
    tls: bool = False

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


def read() -> Options:
    if roles_here := roles.configured():
        roles.require_shared(roles_here, os.environ, environment.HOME)
    environment.broker_url(os.environ.get("REDIS_URL", ""))
    model = os.environ.get("FOREBAY_MODEL")
    return Options(
        home=environment.HOME,
        host=os.environ.get("FOREBAY_HOST") or "127.0.0.1",
        port=_number("FOREBAY_PORT", 8000, 1, 65535),
        grpc_port=_number("FOREBAY_GRPC_PORT", 0, 0, 65535)
        if os.environ.get("FOREBAY_GRPC_PORT")
        else None,
        web_processes=_number("FOREBAY_WEB_PROCESSES", 1, 1, MOST_PROCESSES),
        workers_per_engine=_number("FOREBAY_WORKERS_PER_ENGINE", 1, 1, MOST_PROCESSES),
        database_url=os.environ.get("DATABASE_URL") or None,
        redis_url=os.environ.get("REDIS_URL") or None,
        engines_given=bool(os.environ.get("FOREBAY_ENGINES")),
        roles=roles_here,
        model=Path(model).expanduser().resolve() if model else None,
        slots=_number("FOREBAY_SLOTS", 16, 1, 256),
        context=_number("FOREBAY_CONTEXT", 2048, 128, 1_000_000),
        metrics_port=_number("FOREBAY_METRICS_PORT", 0, 0, 65535 - MOST_SCRAPED),
        tls=environment.has_tls(),
    )


def _number(name: str, default: int, low: int, high: int) -> int:
    raw = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
        raise Problem(f"{name} must be a whole number from {low} to {high}, not {raw!r}")
    return int(raw)
