"""The keys that this process has unwrapped, for as long as the database is known to have them.

Beyond `fresh_until` nothing is given out until somebody has asked the database again
(key_watch.py): a key destroyed anywhere is gone here within a second.
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


class Standing(NamedTuple):
    """What the database says of keys: which are there, and which of them seal what is new."""

    there: set[UUID]
    newest: set[UUID]


class KeyCache:
    def __init__(self, size: int) -> None:
        self._size = size
        self.newest: OrderedDict[Owner, Cipher] = OrderedDict()
        self.by_id: OrderedDict[UUID, Cipher] = OrderedDict()
        self.fresh_until = self.used = 0.0
        self.epoch = 0  # what was read before the last look is not kept
        self._lock = Lock()

    def of(self, owner: Owner) -> Cipher | None:
        self.used = now = monotonic()
        return self.newest.get(owner) if now < self.fresh_until else None

    def named(self, key_id: UUID) -> Cipher | None:
        self.used = now = monotonic()
        return self.by_id.get(key_id) if now < self.fresh_until else None

    def keep(self, cipher: Cipher, owner: Owner | None, epoch: int) -> None:
        """`owner`: whose newest key it is, if it is one."""
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

    def verify(self, standing: Callable[[Iterable[UUID]], Standing]) -> None:
        """Drops what the database has not got any more. `standing` asks it."""
        with self._lock:
            self.epoch += 1
            known = {*self.by_id, *(cipher.key_id for cipher in self.newest.values())}
        there, newest = standing(known)
        with self._lock:
            for key_id in known - there:
                self.by_id.pop(key_id, None)
            self._keep_newest(lambda s: s.key_id in newest or s.key_id not in known)

    def _keep_newest(self, wanted: Callable[[Cipher], bool]) -> None:
        for owner, cipher in list(self.newest.items()):
            if not wanted(cipher):
                del self.newest[owner]


def _put(into: "OrderedDict[Name, Cipher]", name: Name, cipher: Cipher, size: int) -> None:
    into[name] = cipher
    if len(into) > size:
        into.popitem(last=False)
