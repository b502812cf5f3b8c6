"""Redis for code that is not on the hot path: the sweeper, the console."""

from functools import cache

import redis
from django.conf import settings

from audit import redis_servers


@cache
def client() -> redis.Redis:
    return redis_servers.client(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2)
