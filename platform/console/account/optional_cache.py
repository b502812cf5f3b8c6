"""Django's cache on Redis, for django-allauth's rate limits. Without Redis it holds nothing.

No protection of an account depends on it: passwords and codes are counted in PostgreSQL. Entries
are JSON, never pickles, and are cleared by their prefix: Redis holds the queue too.
"""

import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.redis import RedisCache

AWAY_FOR_S = 5.0  # after a failure Redis is not asked for this long


class ForgivingCache(RedisCache):
    _retry_at = 0.0

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._or_default(default, super().get, key, default, version)

    def add(self, *args: Any, **options: Any) -> bool:
        """Returns True without Redis, so that nobody waits for a lock here."""
        return bool(self._or_default(True, super().add, *args, **options))

    def set(self, *args: Any, **options: Any) -> None:
        self._or_default(None, super().set, *args, **options)

    def delete(self, *args: Any, **options: Any) -> bool:
        return bool(self._or_default(False, super().delete, *args, **options))

    def clear(self) -> None:
        self._or_default(None, self._clear_prefix)

    def _clear_prefix(self) -> None:
        client: redis.Redis = self._cache.get_client(None, write=True)
        for key in client.scan_iter(f"{self.key_prefix}:*"):
            client.delete(key)

    def _or_default(
        self, otherwise: Any, act: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        if time.monotonic() < ForgivingCache._retry_at:
            return otherwise
        try:
            return act(*args, **options)
        except redis.RedisError:
            ForgivingCache._retry_at = time.monotonic() + AWAY_FOR_S
            return otherwise
