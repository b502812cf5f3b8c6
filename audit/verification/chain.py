"""Verifies seals and checkpoints: every link, every root, every signature."""

import heapq
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from audit import merkle
from audit.keys import signing
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts, computed_hash
from audit.trail.canonical import microseconds
from audit.verification.pruned import Pruned, Times
from audit.verification.report import Head, SectionResult
from audit.verification.rows import Trail, VerificationRange
from audit.verification.spool import Spool, SpooledBatch

_REACH = """
    select coalesce(min(checkpoint), 0), coalesce(max(checkpoint), 0) from audit_seal
    where last_at >= coalesce(%(since)s::timestamptz, '-infinity')
      and first_at < coalesce(%(until)s::timestamptz, 'infinity')
      and tenant_id = coalesce(%(tenant)s::uuid, tenant_id)"""
_SEALS = """
    select id, tenant_id, batch, first_seq, size, first_at, last_at, root, previous, hash,
           checkpoint, position, sealed_at, retention_days,
           case when tenant_id = coalesce(%(tenant)s::uuid, tenant_id) then event_ids end,
           case when tenant_id = coalesce(%(tenant)s::uuid, tenant_id) then leaves end
    from audit_seal where checkpoint between %(first)s and %(last)s
    order by checkpoint, position, id"""
CHECKPOINTS = """
    select n, size, root, previous, at, key_id, signature
    from audit_checkpoint where n between %(first)s and %(last)s order by n"""
EVER = 2**62  # no checkpoint has this number
BEGINNING: Head = 0, 1, ZERO


class SealRow(NamedTuple):
    id: int
    tenant_id: UUID
    batch: int
    first_seq: int
    size: int
    first_at: datetime
    last_at: datetime
    root: bytes
    previous: bytes
    hash: bytes
    checkpoint: int
    position: int
    sealed_at: datetime
    retention_days: int | None
    event_ids: list[int] | None  # None: another tenant's, of which only the hash is checked
    leaves: bytes | None


class CheckpointRow(NamedTuple):
    n: int
    size: int
    root: bytes
    previous: bytes
    at: datetime
    key_id: str
    signature: bytes

    @property
    def facts(self) -> CheckpointFacts:
        return CheckpointFacts.of(self)


@dataclass(frozen=True, slots=True)
class Terms:
    """The range to verify, the trusted public keys, and the months that may be missing."""

    span: VerificationRange
    keys: list[bytes]
    pruned: Pruned


class Chain:
    """Walks along the checkpoints and puts the batches that the seals promise into the spool."""

    def __init__(
        self, connection: Trail, terms: Terms, spool: Spool, result: SectionResult
    ) -> None:
        self._connection, self._span, self._pruned = connection, terms.span, terms.pruned
        self._spool, self._result, self._report = spool, result, result.report
        self._keys = {signing.key_id(key): key for key in terms.keys}
        self._from_the_start = True

    def walk(self, first: int = 0, last: int = EVER) -> None:
        """Verifies from one checkpoint to another, by default those that cover the time range."""
        if (first, last) == (0, EVER):
            first, last = self._reach()
        self._from_the_start = first <= 1
        if self._from_the_start:
            self._result.last_seal = 0
        else:
            before = {"first": first - 1, "last": first - 1}
            row = self._connection.execute(CHECKPOINTS, before, binary=True).fetchone()
            self._result.anchor = CheckpointRow(*row).facts if row else None
            self._result.last = self._result.anchor
        for checkpoint, seals in self._rounds(first, last):
            self._checkpoint(checkpoint, seals)
            for position, seal in enumerate(seals):
                self._check_position(seal, position)
                if seal.leaves is not None:
                    self._seal(seal, checkpoint)

    def _reach(self) -> tuple[int, int]:
        span = self._span
        if span.since is None and span.until is None:
            return 0, EVER
        values = {"since": span.since, "until": span.until, "tenant": span.tenant_id}
        numbers = self._connection.execute(_REACH, values).fetchone()
        return numbers or (0, 0)

    def _stream(self, name: str, kind: Any, statement: str, first: int, last: int) -> Iterator[Any]:
        values = {"first": first, "last": last, "tenant": self._span.tenant_id}
        with self._connection.cursor(name, binary=True) as cursor:
            cursor.itersize = 200
            cursor.execute(statement, values)
            for row in cursor:
                yield kind(*row)

    def _rounds(self, first: int, last: int) -> Iterator[tuple[CheckpointRow, list[SealRow]]]:
        """Yields each checkpoint with its seals, and reports seals whose checkpoint is missing."""
        checkpoints = self._stream("checkpoints", CheckpointRow, CHECKPOINTS, first, last)
        seals = self._stream("seals", SealRow, _SEALS, first, last)
        merged = heapq.merge(checkpoints, seals, key=_number)  # a checkpoint before its seals
        for n, rows in groupby(merged, key=_number):
            head, *others = rows
            if isinstance(head, CheckpointRow):
                yield head, others
            else:
                text = f"checkpoint {n} is missing: {len(others) + 1} seals have no signature"
                self._report.add("checkpoint_missing", text, checkpoint=n)

    # One checkpoint ------------------------------------------------------------------------------
    def _checkpoint(self, row: CheckpointRow, seals: list[SealRow]) -> None:
        self._report.count("checkpoints")
        before, self._result.last = self._result.last, row.facts
        for fault in self._faults(row, seals, before):
            self._report.add("checkpoint_broken", f"checkpoint {row.n}: {fault}", checkpoint=row.n)
        key = self._keys.get(row.key_id)
        if key is None:
            text = f"checkpoint {row.n} is signed with a foreign key ({row.key_id})"
            self._report.add("foreign_key", text, checkpoint=row.n)
        elif not signing.verify(row.facts.text, row.signature, CHECKPOINT, key):
            text = f"the signature of checkpoint {row.n} is wrong"
            self._report.add("signature_wrong", text, checkpoint=row.n)

    def _faults(
        self, row: CheckpointRow, seals: list[SealRow], before: CheckpointFacts | None
    ) -> Iterator[str]:
        number, size, digest = (before.n, before.size, before.digest) if before else (0, 0, ZERO)
        if row.n != number + 1:
            yield f"follows {number}: something is missing in between"
        elif row.previous != digest:
            yield "does not hold on to the one before"
        elif row.size != size + sum(seal.size for seal in seals):
            yield "counts other events than its seals"
        if not seals:
            yield "has no seals"
        elif row.root != merkle.root([seal.hash for seal in seals]):
            yield "is the root of other seals"

    # One seal ------------------------------------------------------------------------------------
    def _check_position(self, seal: SealRow, position: int) -> None:
        result = self._result
        expected = None if result.last_seal is None else result.last_seal + 1
        result.first_seal = seal.id if result.first_seal is None else result.first_seal
        result.last_seal = seal.id
        if expected not in (None, seal.id) or seal.position != position:
            self._broken(seal, "does not stand in its place")

    def _seal(self, seal: SealRow, checkpoint: CheckpointRow) -> None:
        self._report.count("seals")
        tenant_id, heads = seal.tenant_id, self._result.heads
        known = heads.get(tenant_id, BEGINNING if self._from_the_start else None)
        if known is None:
            before = seal.batch - 1, seal.first_seq, seal.previous
            self._result.taken_on_trust[tenant_id] = before
        heads[tenant_id] = seal.batch, seal.first_seq + seal.size, seal.hash
        for fault in _seal_faults(seal, known):
            self._broken(seal, fault)
        if seal.sealed_at != checkpoint.at:
            self._broken(seal, "is of another time than its checkpoint")
        self._expect(seal)

    def _broken(self, seal: SealRow, what: str) -> None:
        self._report.add_of(seal, "seal_broken", f"seal {seal.batch} {what}")

    def _expect(self, seal: SealRow) -> None:
        ids, leaves = seal.event_ids or [], seal.leaves or b""
        if not self._span.overlaps(seal.first_at, seal.last_at):
            return
        self._report.count("sealed", len(ids))
        times = Times(seal.first_at, seal.last_at, seal.sealed_at)
        if self._pruned.covers(seal.tenant_id, times):
            self._result.lacking += len(ids)
        elif len(leaves) == merkle.SIZE * len(ids):
            place = seal.tenant_id, seal.checkpoint, seal.batch
            reach = microseconds(seal.first_at), microseconds(seal.last_at)
            may_miss = self._pruned.may_lack(seal.tenant_id, times)
            self._spool.put(SpooledBatch(*place, *reach, may_miss, array("q", ids), leaves))


def _number(row: CheckpointRow | SealRow) -> int:
    return row.n if isinstance(row, CheckpointRow) else row.checkpoint


def _seal_faults(seal: SealRow, known: Head | None) -> Iterator[str]:
    """Yields faults; `known`: the end of the tenant's chain, None after a start in the middle."""
    ids, leaves = seal.event_ids or [], seal.leaves or b""
    if not seal.size == len(ids) > 0 or len(leaves) != merkle.SIZE * len(ids):
        yield "does not have as many events as it says"
    if known and (seal.batch, seal.first_seq) != (known[0] + 1, known[1]):
        yield f"follows {known[0]}: the numbers have a gap"
    elif known and seal.previous != known[2]:
        yield "does not hold on to the one before"
    if merkle.root_of_packed(leaves) != seal.root:
        yield "is the root of other events"
    if _computed_hash(seal) != seal.hash:
        yield "has another hash"


def _computed_hash(seal: SealRow) -> bytes:
    try:
        return computed_hash(seal)
    except OverflowError:  # a number that no seal can have
        return b""
