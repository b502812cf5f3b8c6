"""Hears of keys that were destroyed or replaced elsewhere: `audit_keymark` counts them.

A thread looks a few times a second while keys are in use, so that requests need not, and about once
when they are not; it ends, and takes the keys out of memory, when nobody has asked for one for a
minute.
"""

import logging
from collections.abc import Iterable
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, ClassVar
from uuid import UUID
from weakref import WeakSet

from django.db import connection

from audit.keys.key_cache import KeyCache, Standing

log = logging.getLogger(__name__)
PAUSE_S, QUIET_PAUSE_S = 0.3, 0.7
QUIET_S = 5.0  # since somebody has asked for a key
VALID_S = 0.9  # after a look: together with a slow one still within a second
IDLE_S = 60.0
_STANDING = "select id, newest from audit_keys_standing(%s)"


class KeyWatch:
    living: ClassVar["WeakSet[KeyWatch]"] = WeakSet()

    def __init__(self, cache: KeyCache) -> None:
        self.living.add(self)
        self._cache = cache
        self._generation = -1
        self._thread: Thread | None = None
        self._lock, self._stop = Lock(), Event()

    def look(self) -> None:
        """Now, by whoever needs a key while no news has come in."""
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
        found = cursor.fetchone()
        generation = found[0] if found else 0
        if generation != self._generation:
            self._cache.verify(lambda ids: _standing(cursor, ids))
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
        """While it does not go well, `look` does the work; it starts this again."""
        try:
            while not stop.wait(self._pause()) and not self._idle():
                with connection.cursor() as cursor:
                    self._look(cursor)
        except Exception as problem:  # whatever it is: no news, no keys
            log.warning("cannot check for destroyed keys: %s", problem)
        finally:
            connection.close()

    def _pause(self) -> float:
        """Either leaves a slow look time to be over within a second of the one before."""
        quiet = monotonic() - self._cache.used > QUIET_S
        return QUIET_PAUSE_S if quiet else PAUSE_S

    def _idle(self) -> bool:
        idle = monotonic() - self._cache.used > IDLE_S
        if idle:
            self._cache.clear()
        return idle


def _standing(cursor: Any, ids: Iterable[UUID]) -> Standing:
    cursor.execute(_STANDING, [list(ids)])
    found: list[tuple[UUID, bool]] = cursor.fetchall()
    return Standing({key for key, _ in found}, {key for key, newest in found if newest})
