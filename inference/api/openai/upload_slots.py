"""Limits simultaneous uploads: each takes a thread of this process until its client is done.

If all slots are in use, one whose client is slow gives way to a newcomer, so that nobody can block
others by sending a byte now and then.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import UUID

from inference.errors import LimitReached, Unavailable
from inference.intake.limits.concurrency import EVERYBODY, ConcurrencyLimit

GRACE_S = 5.0  # no upload counts as slow before
LEAST_PER_S = 65_536  # bytes; a client that sends less is slow
ROOM_S = 2.0  # a newcomer waits so long for the slow upload's end


class Upload(Protocol):
    tenant_id: UUID
    began: float  # time.monotonic()
    received: int  # bytes

    def give_way(self) -> None:
        """End it soon, with an error that explains it."""


class UploadPlaces:
    def __init__(self, most: int) -> None:
        self._slots = ConcurrencyLimit(most)
        self._uploads: dict[int, Upload] = {}
        self._released = asyncio.Event()

    @asynccontextmanager
    async def slot(
        self, tenant_id: UUID, of_a_tenant: int, upload: Upload | None = None
    ) -> AsyncIterator[None]:
        """Hold a slot. Raises LimitReached, Unavailable.

        `upload` is None if no client sends data.
        """
        limit = tenant_id, of_a_tenant
        full = self._slots.enter(limit)
        if full is not None and await self._make_room(full):
            full = self._slots.enter(limit)
        if full == EVERYBODY:
            raise Unavailable("too many files are uploaded here; try again", retry_after=2)
        if full is not None:
            raise LimitReached(f"a tenant uploads {of_a_tenant} files at once", retry_after=2)
        if upload:
            self._uploads[id(upload)] = upload
        try:
            yield
        finally:
            self._uploads.pop(id(upload), None)
            self._slots.leave(tenant_id)
            self._released.set()

    async def _make_room(self, full: object) -> bool:
        """Returns whether the slowest upload with a slot that the newcomer may have gave way."""
        slow = [
            upload
            for upload in self._uploads.values()
            if full in (EVERYBODY, upload.tenant_id) and _rate(upload) < LEAST_PER_S
        ]
        if not slow:
            return False
        self._released = asyncio.Event()
        min(slow, key=_rate).give_way()
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_S):
                await self._released.wait()
        return True


def _rate(upload: Upload) -> float:
    """Returns bytes a second."""
    lasted = time.monotonic() - upload.began
    return upload.received / lasted if lasted > GRACE_S else LEAST_PER_S
