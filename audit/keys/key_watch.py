"""Notices keys that another process destroyed or replaced, by the counter in `audit_keymark`.

A thread checks several times a second while keys are in use, so that requests need not, and about
once a second otherwise. After a minute without use it clears the keys from memory and ends.
"""

import logging
from collections.abc import Iterable
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, ClassVar
from uuid import UUID
from weakref import WeakSet

from django.db import connection

from audit.keys.key_cache import KeyCache, KeyState

log = logging.getLogger(__name__)
PAUSE_S, QUIET_PAUSE_S = 0.3, 0.7
QUIET_S = 5.0  # since the last use of a key
VALID_S = 0.9  # after a check, so that a slow check still ends within a second
IDLE_S = 60.0
_STATE = "select id, newest from audit_keys_standing(%s)"


class KeyWatch:
    living: ClassVar["WeakSet[KeyWatch]"] = WeakSet()

    def __init__(self, cache: KeyCache) -> None:
        self.living.add(self)
        self._cache = cache
        self._generation = -1
        self._thread: Thread | None = None
        self._lock, self._stop = Lock(), Event()

    def look(self) -> None:
        """Checks now, for a caller that needs a key while the cache is stale."""
        with connection.cursor() as cursor:
            self._look(cursor)
        self._start()

    def stop(self) -> None:
        """Ends the thread and closes its connection."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread:
            thread.join(10)
        self._cache.clear()

    def _look(self, cursor: Any) -> None:
        began = monotonic()
        cursor.execute("select generation from audit_keymark")
        row = cursor.fetchone()
        generation = row[0] if row else 0
        if generation != self._generation:
            self._cache.verify(lambda ids: _key_state(cursor, ids))
            self._generation = generation
        self._cache.fresh_until = began + VALID_S

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop = Event()
                self._thread = Thread(
                    target=self._run, args=[self._stop], name="key-watch", daemon=True
                )
                self._thread.start()

    def _run(self, stop: Event) -> None:
        """Checks until the cache is idle. After a failure the thread ends, and `look` restarts
        it.
        """
        try:
            while not stop.wait(self._pause()) and not self._idle():
                with connection.cursor() as cursor:
                    self._look(cursor)
        except Exception as problem:  # whatever it is: without checks the cache goes stale
            log.warning("cannot check for destroyed keys: %s", problem)
        finally:
            connection.close()

    def _pause(self) -> float:
        """Returns the pause, so short that even a slow check ends within a second of the last
        one.
        """
        quiet = monotonic() - self._cache.used > QUIET_S
        return QUIET_PAUSE_S if quiet else PAUSE_S

    def _idle(self) -> bool:
        idle = monotonic() - self._cache.used > IDLE_S
        if idle:
            self._cache.clear()
        return idle


def _key_state(cursor: Any, ids: Iterable[UUID]) -> KeyState:
    cursor.execute(_STATE, [list(ids)])
    rows: list[tuple[UUID, bool]] = cursor.fetchall()
    return KeyState({key for key, _ in rows}, {key for key, newest in rows if newest})
