"""Deletes the breaker of a removed engine, so that another one of its name starts without it."""

import logging
from typing import Any

import redis
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete

from inference.engines.health import breakers
from inference.models import Engine
from infrastructure.redis import servers

log = logging.getLogger(__name__)


def connect_breaker_deletion() -> None:
    """Connect the deletion of breakers to that of engines."""
    post_delete.connect(_removed, sender=Engine, dispatch_uid="breaker of a removed engine")


def _removed(instance: Engine, **_signal: Any) -> None:
    name = instance.name
    transaction.on_commit(lambda: _forget(name))


def _forget(name: str) -> None:
    arguments = breakers.arguments(name, "forget", "")
    try:
        with servers.client(settings.REDIS_URL, socket_timeout=2) as client:
            client.eval(breakers.REPORT.text, 3, *breakers.keys(name), *arguments)
    except redis.RedisError as problem:  # the state left there harms nobody
        log.warning("%s: the breaker of the removed engine stays in Redis: %s", name, problem)
