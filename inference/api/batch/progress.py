"""Collects the outcomes of lines and writes them together: the record has them anyway."""

import asyncio
from uuid import UUID

import orjson

from audit.keys.keyring import Cipher
from inference.api.batch import lines
from inference.api.batch.lines import in_thread
from inference.api.batch.submitting import CLASS, ROUTE
from inference.batch.results import encrypted_error
from inference.metrics.labels import ROUTES, tenant
from inference.metrics.requests import ANSWERED
from inference.models import Batch, BatchLine, LineState
from inference.order import PASSES
from inference.queue_control import cancelling

ROUTES.add(ROUTE)
TRIES = 4
WRITE_S = 0.5  # between two writes while lines end one after the other
PAUSE_S = 2.0  # before the second try, doubled before each further one


class LineProgress:
    def __init__(self, batch: Batch, cipher: Cipher) -> None:
        self._batch, self._cipher = batch, cipher
        self._ended: list[BatchLine] = []
        self._written_at = 0.0  # by the loop's clock
        self._retried: dict[int, BatchLine] = {}  # by number, not written yet
        self.instead_of: dict[int, UUID] = {}  # the last try of lines that are retries

    def may_be_repeated(self, line: BatchLine) -> bool:
        """Returns whether the line has another try left after this one."""
        return len(line.earlier) + 1 < TRIES

    def try_again_after_s(
        self, line: BatchLine, completion: UUID, status: int, error: bytes
    ) -> float | None:
        """Returns the seconds until the next try; None if it has ended, or an operator ended it."""
        # A driver that died may have noted this try already.
        tries = [*(each for each in line.earlier if each != completion), completion]
        cancelled = error and orjson.loads(error)["error"]["code"] == cancelling.CODE
        if status not in PASSES or len(tries) >= TRIES or cancelled:
            return None
        line.earlier, self._retried[line.number] = tries, line
        self.instead_of[line.number] = completion
        return PAUSE_S * float(2 ** (len(tries) - 1))

    def end(self, line: BatchLine, completion: UUID | None, status: int, error: bytes) -> None:
        line.completion_id, line.status = completion, status
        line.state = LineState.FAILED if error else LineState.DONE
        if error:
            line.error_ciphertext = encrypted_error(self._cipher, self._batch, line.number, error)
        self._ended.append(line)
        tenant_label = tenant(self._batch.tenant_id)
        ANSWERED.of("batch", ROUTE, line.model, CLASS, str(status), tenant_label).value += 1

    async def write_if_due(self) -> None:
        """Write twice a second at most: a commit costs more than a request.

        Raises like `write`.
        """
        if asyncio.get_running_loop().time() - self._written_at >= WRITE_S:
            await self.write()

    async def write(self) -> None:
        """Write the outcomes. Raises DatabaseError, after which the next call writes them."""
        if not self._ended and not self._retried:
            return
        self._written_at = asyncio.get_running_loop().time()
        ended, self._ended = self._ended, []
        retried, self._retried = self._retried, {}
        try:
            await in_thread(lines.save, self._batch, ended, list(retried.values()))
        except BaseException:
            self._ended, self._retried = ended + self._ended, retried | self._retried
            raise
