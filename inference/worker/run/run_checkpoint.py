"""The checkpoint of a run: read when it begins, written after each step of its work."""

from uuid import uuid4

import msgspec
from channels.db import database_sync_to_async

from audit.keys.keyring import Cipher
from inference.models import Checkpoint
from inference.order import Order
from inference.record.parked import Parked, at_checkpoint
from inference.record.work_units import WorkUnits

LARGEST_STATE = 16 * 1024 * 1024  # bytes; larger things belong in files (inference/batch)


class RunCheckpoint:
    """The checkpoint of one run. All methods but properties raise DatabaseError."""

    def __init__(self, order: Order, cipher: Cipher, row: Checkpoint) -> None:
        self._order, self._cipher, self._row = order, cipher, row
        self.parked = at_checkpoint(row)

    @classmethod
    async def begin(cls, order: Order, cipher: Cipher) -> "RunCheckpoint":
        """Take the work over from earlier runs, which cannot write any more."""
        take_over = database_sync_to_async(Checkpoint.take_over)
        return cls(order, cipher, await take_over(order.id, order.tenant_id, uuid4()))

    @property
    def reported(self) -> Parked:
        """Return the work that ended runs have reported to the fair queue that have ended.

        It refunds a run whose worker dies.
        """
        free = {"completion_tokens": 0, "gpu_ms": 0}
        return msgspec.structs.replace(self.parked, prompt_tokens=self._row.charged, **free)

    @property
    def step(self) -> int:
        return self._row.step

    @property
    def attempts(self) -> int:
        """Runs since the last step, this one included."""
        return self._row.attempts

    def state(self) -> bytes:
        """Return what the last step left; b"" before the first. Raises Unreadable."""
        ciphertext = bytes(self._row.ciphertext)
        return self._cipher.decrypt(ciphertext, self._aad(self._row.step)) if ciphertext else b""

    async def write(self, step: int, state: bytes, work_units: WorkUnits, queue_ms: int) -> bool:
        """Return False if another run has taken the work over. Raises ValueError."""
        if len(state) > LARGEST_STATE:
            raise ValueError(f"a state has at most {LARGEST_STATE} bytes: put the rest in files")
        fields = {
            "step": step,
            "ciphertext": self._cipher.encrypt(state, self._aad(step)),
            "queue_ms": queue_ms,
            **msgspec.structs.asdict(work_units),
        }
        if not await database_sync_to_async(self._row.advance)(**fields):
            return False
        units = msgspec.structs.asdict(work_units)
        self.parked = msgspec.structs.replace(self.parked, queue_ms=queue_ms, **units)
        return True

    async def note_parking(self, *, stops: bool) -> Parked:
        """Count it as a stop of its worker, or a preemption. Return what the work has taken."""
        note = self._row.note_stop if stops else self._row.note_preemption
        await database_sync_to_async(note)(self.parked.work_units)
        times, stopped = self.parked.times + (not stops), self.parked.stops + stops
        self.parked = msgspec.structs.replace(self.parked, times=times, stops=stopped)
        return self.parked

    async def give_attempt_back(self) -> None:
        await database_sync_to_async(self._row.give_attempt_back)()

    def _aad(self, step: int) -> bytes:
        ids = self._order.tenant_id.bytes, self._order.id.bytes
        return b"inference_checkpoint|%b|%b|%d" % (*ids, step)
