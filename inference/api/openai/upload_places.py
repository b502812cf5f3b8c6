"""Who may upload at once: each upload holds a thread of this process until its client is done.

Where all places are taken, one whose client is slow gives way to a newcomer: so nobody keeps others
out by sending a byte now and then.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import UUID

from inference.errors import LimitReached, Unavailable
from inference.intake.at_once import EVERYBODY, AtOnce

GRACE_S = 5.0  # so long nobody is slow
LEAST_PER_S = 65_536  # bytes that come from a client which is not slow
ROOM_S = 2.0  # how long a newcomer waits for whoever gives way


class Upload(Protocol):
    tenant_id: UUID
    began: float  # time.monotonic()
    received: int  # bytes

    def give_way(self) -> None:
        """Ends it soon, with an error that says why."""


class UploadPlaces:
    def __init__(self, most: int) -> None:
        self._taken = AtOnce(most)
        self._uploads: dict[int, Upload] = {}
        self._left = asyncio.Event()

    @asynccontextmanager
    async def taken(
        self, tenant_id: UUID, of_a_tenant: int, upload: Upload | None = None
    ) -> AsyncIterator[None]:
        """`upload` is None for what nobody waits for. Raises LimitReached, Unavailable."""
        limit = tenant_id, of_a_tenant
        full = self._taken.enter(limit)
        if full is not None and await self._made_room(full):
            full = self._taken.enter(limit)
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
            self._taken.leave(tenant_id)
            self._left.set()

    async def _made_room(self, full: object) -> bool:
        """Whether the slowest upload gave way, of those that take the newcomer's place."""
        slow = [
            upload
            for upload in self._uploads.values()
            if full in (EVERYBODY, upload.tenant_id) and _rate(upload) < LEAST_PER_S
        ]
        if not slow:
            return False
        self._left = asyncio.Event()
        min(slow, key=_rate).give_way()
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_S):
                await self._left.wait()
        return True


def _rate(upload: Upload) -> float:
    """Bytes a second."""
    lasted = time.monotonic() - upload.began
    return upload.received / lasted if lasted > GRACE_S else LEAST_PER_S
