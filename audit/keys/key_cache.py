"""The keys that this process has unwrapped, while the database is known to have them.

After `fresh_until` the cache returns nothing until the database has been asked again
(key_watch.py), so that a key destroyed anywhere is gone here within a second.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from time import monotonic
from typing import NamedTuple, TypeVar
from uuid import UUID

from audit.keys.cipher import Cipher

Name = TypeVar("Name")
Owner = tuple[UUID, UUID | None]  # tenant, and subject; None: the tenant's own


class KeyState(NamedTuple):
    """Keys that exist in the database, and those of them that encrypt new texts."""

    existing: set[UUID]
    newest: set[UUID]


class KeyCache:
    def __init__(self, size: int) -> None:
        self._size = size
        self.newest: OrderedDict[Owner, Cipher] = OrderedDict()
        self.by_id: OrderedDict[UUID, Cipher] = OrderedDict()
        self.fresh_until = self.used = 0.0
        self.epoch = 0  # rows read before the last check must not enter the cache
        self._lock = Lock()

    def newest_of(self, owner: Owner) -> Cipher | None:
        self.used = now = monotonic()
        return self.newest.get(owner) if now < self.fresh_until else None

    def get(self, key_id: UUID) -> Cipher | None:
        self.used = now = monotonic()
        return self.by_id.get(key_id) if now < self.fresh_until else None

    def add(self, cipher: Cipher, owner: Owner | None, epoch: int) -> None:
        """Adds a key. `owner` is set if the key is that owner's newest."""
        with self._lock:
            if epoch != self.epoch:
                return
            _put(self.by_id, cipher.key_id, cipher, self._size)
            if owner:
                _put(self.newest, owner, cipher, self._size)

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

    def verify(self, read_state: Callable[[Iterable[UUID]], KeyState]) -> None:
        """Drops the keys that the database no longer has. `read_state` queries it."""
        with self._lock:
            self.epoch += 1
            known = {*self.by_id, *(cipher.key_id for cipher in self.newest.values())}
        existing, newest = read_state(known)
        with self._lock:
            for key_id in known - existing:
                self.by_id.pop(key_id, None)
            self._keep_newest(lambda cipher: cipher.key_id in newest or cipher.key_id not in known)

    def _keep_newest(self, wanted: Callable[[Cipher], bool]) -> None:
        for owner, cipher in list(self.newest.items()):
            if not wanted(cipher):
                del self.newest[owner]


def _put(into: "OrderedDict[Name, Cipher]", name: Name, cipher: Cipher, size: int) -> None:
    into[name] = cipher
    if len(into) > size:
        into.popitem(last=False)
