"""L1: in the process, encrypted as in Redis. A tenant that fills it pushes out its own."""

import time
from collections import OrderedDict
from uuid import UUID

MOST, MOST_BYTES = 1_000, 32 * 1024 * 1024
TTL_S = 300.0
_Kept = OrderedDict[bytes, tuple[bytes, float]]  # name -> ciphertext, until (monotonic)


class FirstLevel:
    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._tenants: dict[UUID, _Kept] = {}
        self.entries, self.bytes = 0, 0

    def get(self, tenant_id: UUID, name: bytes) -> bytes | None:
        kept = self._tenants.get(tenant_id)
        found = kept.get(name) if kept else None
        if kept is None or found is None:
            return None
        if found[1] <= time.monotonic():
            self.drop(tenant_id, name)
            return None
        kept.move_to_end(name)
        return found[0]

    def put(self, tenant_id: UUID, name: bytes, data: bytes) -> None:
        self.drop(tenant_id, name)
        kept = self._tenants.setdefault(tenant_id, OrderedDict())
        kept[name] = data, time.monotonic() + TTL_S
        self.entries, self.bytes = self.entries + 1, self.bytes + len(data)
        while self.entries > self._most or self.bytes > self._most_bytes:
            self._make_room()

    def drop(self, tenant_id: UUID, name: bytes) -> None:
        kept = self._tenants.get(tenant_id)
        if kept and (found := kept.pop(name, None)):
            self.entries, self.bytes = self.entries - 1, self.bytes - len(found[0])
            if not kept:
                del self._tenants[tenant_id]

    def _make_room(self) -> None:
        """Drop the least recently used answer of the tenant with the most."""
        tenant_id = max(self._tenants, key=lambda one: len(self._tenants[one]))
        self.drop(tenant_id, next(iter(self._tenants[tenant_id])))
