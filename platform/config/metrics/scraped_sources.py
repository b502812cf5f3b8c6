"""Metrics that a process reads elsewhere: of the whole platform (jobs alone), of GPUs (workers).

They are read when somebody scrapes, at most once in EVERY_S, by a thread. A scrape waits WAIT_S for
that at most; then it gets the last figures. What could not be read is left out, and a metric shows
that.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import psycopg
import redis
from django.conf import settings

from audit import figures as of_audit
from config.metrics import backups, gpus
from inference.metrics import decisions, engines, jobs, lending, queues
from inference.queue.client import client
from infrastructure.metrics import Gauge, Label
from infrastructure.redis import servers
from tenants import figures as of_tenants

log = logging.getLogger(__name__)
EVERY_S, WAIT_S = 5.0, 4.0
HANGS_S = 60.0  # a reading that takes longer counts as failed
QUEUES_S = 2.0
_OPTIONS = (
    f"{settings.SEES_ALL['options']} -c statement_timeout=2000 "
    "-c default_transaction_read_only=on -c application_name=forebay_metrics"
)


JOBS = "jobs"
PREFIX = "celery:"  # config.celery: global_keyprefix
MEMORY = Gauge("forebay_valkey_memory_bytes", "Memory that Valkey or Redis uses, of all its nodes")
LIMIT = Gauge(
    "forebay_valkey_memory_limit_bytes", "Its maxmemory, of all its nodes; 0 where it has none"
)
CELERY = Gauge(
    "forebay_celery_queue_length",
    "Messages that wait for a process of Celery",
    Label.of("queue", JOBS),
)


class Source(NamedTuple):
    """A source of figures. One thread calls both functions."""

    read: Callable[[], None]
    forget: Callable[[], None]


class Database:
    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None

    def read(self) -> None:
        if self._connection is None:
            patience = {**settings.DATABASE_PATIENCE, "options": _OPTIONS}
            self._connection = psycopg.connect(settings.DATABASE_URL, autocommit=True, **patience)
        of_audit.read(self._connection)
        of_tenants.read(self._connection)
        jobs.read(self._connection)
        decisions.read(self._connection)
        backups.read_recorded(self._connection)

    def forget(self) -> None:
        of_audit.forget()
        of_tenants.forget()
        jobs.forget()
        decisions.forget()
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def _read_queues() -> None:
    queues.read(time.monotonic() + QUEUES_S)
    engines.read_queue()
    lending.read()


def _forget_queues() -> None:
    queues.forget()
    engines.forget_queue()


def _read_valkey() -> None:
    """Read Valkey's memory and Celery's queue. Raises redis.RedisError."""
    info: Any = client().info("memory")
    nodes = [info] if "used_memory" in info else list(info.values())
    MEMORY.set(sum(int(node["used_memory"]) for node in nodes))
    LIMIT.set(sum(int(node.get("maxmemory", 0)) for node in nodes))
    waiting: Any = _broker().llen(f"{PREFIX}{JOBS}")
    CELERY.set_all({(JOBS,): waiting})


def _forget_valkey() -> None:
    for gauge in (MEMORY, LIMIT, CELERY):
        gauge.forget()


@cache
def _broker() -> redis.Redis:
    return servers.client(settings.BROKER_URL, socket_timeout=2, socket_connect_timeout=2)


def sources() -> dict[str, Source]:
    database = Database()
    return {
        "queue": Source(_read_queues, _forget_queues),
        "valkey": Source(_read_valkey, _forget_valkey),
        "engines": Source(engines.ask, engines.forget_reports),
        "postgresql": Source(database.read, database.forget),
        "backups": Source(backups.read, backups.forget),
    }


def of_gpus() -> dict[str, Source]:
    each = gpus.Gpus()
    return {"gpu": Source(each.read, each.forget)}


READABLE = Gauge(
    "forebay_figures_readable",
    "1 where the last reading of these figures went well",
    Label.of("source", "queue", "valkey", "engines", "postgresql", "backups", "gpu"),
)
AGE = Gauge("forebay_figures_age_seconds", "Since the last reading of them has ended")


class ScrapedFigures:
    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources = sources
        self._began = self._ended = float("-inf")
        self._reading: threading.Thread | None = None

    def bring(self) -> None:
        """Refresh the figures, waiting at most WAIT_S. Called by one thread at a time."""
        reading = self._reading
        if not (reading and reading.is_alive()) and time.monotonic() - self._began > EVERY_S:
            self._began = time.monotonic()
            reading = threading.Thread(target=self._read, name="figures", daemon=True)
            self._reading = reading
            reading.start()
        if reading:
            reading.join(WAIT_S)
        if reading and reading.is_alive() and time.monotonic() - self._began > HANGS_S:
            READABLE.set_all({(name,): 0 for name in self._sources})
        if self._ended > float("-inf"):
            AGE.set(time.monotonic() - self._ended)

    def _read(self) -> None:
        states = {(name,): _is_readable(name, each) for name, each in self._sources.items()}
        READABLE.set_all({name: state for name, state in states.items() if state is not None})
        self._ended = time.monotonic()


def _is_readable(name: str, source: Source) -> bool | None:
    """Read a source, and return whether that went well; None if this host has no such source."""
    try:
        source.read()
    except gpus.NotHere:
        return None
    except Exception as problem:  # whatever it is, the others are read
        log.warning("metrics: cannot read the figures of %s: %s", name, problem)
        source.forget()
        return False
    return True
