"""The keys that this process has unwrapped, while the database is known to have them.

A watch compares the counter of destroyed and replaced keys in `audit_keymark`. Until it has done so
again the cache returns nothing, so that a key destroyed anywhere is gone here within a second.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, ClassVar, TypeVar
from uuid import UUID
from weakref import WeakSet

from django.db import connection

from audit.keys.cipher import Cipher

log = logging.getLogger(__name__)
PAUSE_S, QUIET_PAUSE_S = 0.3, 0.7
QUIET_S = 5.0  # since the last use of a key
VALID_S = 0.9  # after a check, so that a slow check still ends within a second
IDLE_S = 60.0
_STATE = "select id, newest from audit_keys_standing(%s)"
Name = TypeVar("Name")
Owner = tuple[UUID, UUID | None]  # tenant, and subject; None: the tenant's own


class KeyCache:
    def __init__(self, size: int) -> None:
        self._size = size
        self.newest: OrderedDict[Owner, Cipher] = OrderedDict()
        self.by_id: OrderedDict[UUID, Cipher] = OrderedDict()
        self.fresh_until = self.used = 0.0
        self.epoch = 0  # rows read before the last check must not enter the cache
        self._lock = Lock()

    @property
    def is_fresh(self) -> bool:
        return monotonic() < self.fresh_until

    def newest_of(self, owner: Owner) -> Cipher | None:
        self.used = now = monotonic()
        return self.newest.get(owner) if now < self.fresh_until else None

    def get(self, key_id: UUID) -> Cipher | None:
        self.used = now = monotonic()
        return self.by_id.get(key_id) if now < self.fresh_until else None

    def add(self, cipher: Cipher, owner: Owner | None, epoch: int) -> bool:
        """Adds a key, unless its row was read before the last check; returns whether it did.

        `owner` is set if the key is that owner's newest.
        """
        with self._lock:
            if epoch != self.epoch:
                return False
            _put(self.by_id, cipher.key_id, cipher, self._size)
            if owner:
                _put(self.newest, owner, cipher, self._size)
            return True

    def forget(self, key_id: UUID) -> None:
        with self._lock:
            self.epoch += 1
            self.by_id.pop(key_id, None)
            self._keep_newest(lambda cipher: cipher.key_id != key_id)

    def clear(self) -> None:
        with self._lock:
            self.epoch += 1
            self.by_id.clear()
            self.newest.clear()
            self.fresh_until = 0.0

    def verify(self, cursor: Any) -> None:
        """Drops the keys that the database no longer has."""
        with self._lock:
            self.epoch += 1
            known = {*self.by_id, *(cipher.key_id for cipher in self.newest.values())}
        cursor.execute(_STATE, [list(known)])
        is_newest: dict[UUID, bool] = dict(cursor.fetchall())
        with self._lock:
            for key_id in known - is_newest.keys():
                self.by_id.pop(key_id, None)
            self._keep_newest(lambda key: is_newest.get(key.key_id, key.key_id not in known))

    def _keep_newest(self, wanted: Callable[[Cipher], bool]) -> None:
        for owner, cipher in list(self.newest.items()):
            if not wanted(cipher):
                del self.newest[owner]


def _put(into: "OrderedDict[Name, Cipher]", name: Name, cipher: Cipher, size: int) -> None:
    into[name] = cipher
    if len(into) > size:
        into.popitem(last=False)


class KeyWatch:
    """A thread that looks several times a second while keys are in use, so that requests need not.

    It looks about once a second otherwise. After a minute without use it clears the keys and ends.
    """

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
            self._cache.verify(cursor)
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
        """Looks until the cache is idle. After a failure it ends, and `look` restarts it."""
        try:
            while not stop.wait(self._pause()) and not self._idle():
                with connection.cursor() as cursor:
                    self._look(cursor)
        except Exception as problem:  # whatever it is: without checks the cache goes stale
            log.warning("cannot check for destroyed keys: %s", problem)
        finally:
            connection.close()

    def _pause(self) -> float:
        """Returns the pause: even a slow look must end within a second of the last one."""
        quiet = monotonic() - self._cache.used > QUIET_S
        return QUIET_PAUSE_S if quiet else PAUSE_S

    def _idle(self) -> bool:
        idle = monotonic() - self._cache.used > IDLE_S
        if idle:
            self._cache.clear()
        return idle
