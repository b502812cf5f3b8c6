"""Django's cache on Redis, for django-allauth's rate limits. Without Redis it holds nothing.

No protection of an account depends on it: passwords and codes are counted in PostgreSQL. Entries
are JSON, never pickles, and are cleared by their prefix: Redis holds the queue too.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache

AWAY_FOR_S = 5.0  # after a failure Redis is not asked for this long


class Json:
    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, raw: bytes) -> Any:
        return json.loads(raw)


class ForgivingCache(RedisCache):
    _retry_at = 0.0

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        act = super().get
        return self._or_default(default, lambda: act(key, default, version))

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Returns True without Redis, so that nobody waits for a lock here."""
        act = super().add
        return bool(self._or_default(True, lambda: act(key, value, timeout, version)))

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        act = super().set
        self._or_default(None, lambda: act(key, value, timeout, version))

    def delete(self, key: Any, version: int | None = None) -> bool:
        act = super().delete
        return bool(self._or_default(False, lambda: act(key, version)))

    def clear(self) -> None:
        client: redis.Redis = self._cache.get_client(None, write=True)

        def cleared() -> None:
            for key in client.scan_iter(f"{self.key_prefix}:*"):
                client.delete(key)

        self._or_default(None, cleared)

    def _or_default(self, otherwise: Any, act: Callable[[], Any]) -> Any:
        if time.monotonic() < ForgivingCache._retry_at:
            return otherwise
        try:
            return act()
        except redis.RedisError:
            ForgivingCache._retry_at = time.monotonic() + AWAY_FOR_S
            return otherwise
