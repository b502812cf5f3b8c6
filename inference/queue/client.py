"""Redis for code that is not on the hot path: the sweeper, the console."""

from functools import cache

import redis
from django.conf import settings
from redis.client import Pipeline

from infrastructure.redis import servers
from infrastructure.redis.link import Script


@cache
def client() -> redis.Redis:
    return servers.client(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2)


def ask_script(pipeline: Pipeline, script: Script, key: str, *arguments: str | int) -> None:
    """Run a script in a pipeline. A cluster's pipelines have no `eval`."""
    # redis-py has no types for it.
    pipeline.execute_command("EVAL", script.text, 1, key, *arguments)  # type: ignore[no-untyped-call]
