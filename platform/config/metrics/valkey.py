"""Memory of Valkey or Redis, and Celery's waiting messages there, for the jobs' metrics."""

from functools import cache
from typing import Any

import redis
from django.conf import settings

from inference.queue.client import client
from infrastructure.metrics import Gauge, Label
from infrastructure.redis import servers

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


def read() -> None:
    """Read Valkey's memory and Celery's queue. Raises redis.RedisError."""
    info: Any = client().info("memory")
    nodes = [info] if "used_memory" in info else list(info.values())
    MEMORY.set(sum(int(node["used_memory"]) for node in nodes))
    LIMIT.set(sum(int(node.get("maxmemory", 0)) for node in nodes))
    waiting: Any = _broker().llen(f"{PREFIX}{JOBS}")
    CELERY.set_all({(JOBS,): waiting})


def forget() -> None:
    for gauge in (MEMORY, LIMIT, CELERY):
        gauge.forget()


@cache
def _broker() -> redis.Redis:
    return servers.client(settings.BROKER_URL, socket_timeout=2, socket_connect_timeout=2)
