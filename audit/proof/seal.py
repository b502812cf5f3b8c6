"""The sealer: seals new events once a second, and signs the seals under a checkpoint.

It takes events of finished transactions in an order in which no other can appear between them: by
transaction, then by id, up to the oldest transaction that still runs. It holds no lock that a
request could wait for.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Seal
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts, seal_hash
from audit.proof.seal_mark import AFTER, SetBack, mark, stay_set_back
from audit.trail.canonical import LINE, microseconds
from infrastructure.postgres.scope import scope

LOCK = 0x5EA1ED  # one sealer at a time, among all processes
ROUND = 10_000  # events
BATCH = 512  # events: a proof within it has nine hashes at most
BUSY_S = 5.0  # the longest run while there is more to seal

# Only the index may be used: a plan with a sort would read the whole trail after a backlog.
_IN_ORDER = "set local enable_seqscan = off; set local enable_bitmapscan = off"
_UNSEALED = f"""
    select id, xid, coalesce(tenant_id, '{PLATFORM}'), at, {LINE} from (
        select * {AFTER} and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        order by xid, id limit %s) next order by xid, id"""
_RETENTION = "select tenant, audit_retention_of(tenant) from unnest(%s::uuid[]) tenant"
_HEADS = """
    select head.* from unnest(%s::uuid[]) tenant cross join lateral (
        select tenant_id, batch, first_seq + size, hash from audit_seal
        where tenant_id = tenant order by batch desc limit 1) head"""
_MOVE = """
    insert into audit_sealmark (id, xid, event_id, at) values (1, %s, %s, now())
    on conflict (id) do update set xid = excluded.xid, event_id = excluded.event_id, at = now()"""


class Row(NamedTuple):
    id: int
    xid: int
    tenant_id: UUID
    at: datetime
    line: str


class _Head(NamedTuple):
    """The end of a tenant's chain."""

    batch: int = 0
    next_seq: int = 1
    hash: bytes = ZERO


def seal_due() -> int:
    """Seals everything there is, within BUSY_S. Returns how many events."""
    began, sealed = time.monotonic(), 0
    while count := seal_round():
        sealed += count
        if count < ROUND or time.monotonic() - began > BUSY_S:
            break
    return sealed


def seal_round() -> int:
    """Seals one round, all of it or nothing; returns 0 also while another process is sealing.

    Raises CannotSeal.
    """
    try:
        return _round()
    except SetBack:
        stay_set_back()
        raise


def _round() -> int:
    with scope(system=True), connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(_IN_ORDER)
        cursor.execute(_UNSEALED, [*mark(cursor), ROUND])
        rows = [Row(*row) for row in cursor.fetchall()]
        if rows:
            put_under_seal(cursor, rows)
            cursor.execute(_MOVE, [rows[-1].xid, rows[-1].id])
        return len(rows)


def put_under_seal(cursor: CursorWrapper, rows: list[Row]) -> None:
    now, last = datetime.now(UTC), Checkpoint.objects.order_by("-n").first()
    n = last.n + 1 if last else 1
    chained = _chain(_heads(cursor, rows), rows, now, _retention(cursor, rows))
    seals = list(_number(cursor, chained, n))
    Seal.objects.bulk_create(seals, batch_size=500)
    facts = CheckpointFacts(
        n=n,
        size=(last.size if last else 0) + len(rows),
        root=merkle.root([bytes(seal.hash) for seal in seals]),
        previous=facts_of(last).digest if last else ZERO,
        at_us=microseconds(now),
    )
    Checkpoint.objects.create(
        n=n,
        size=facts.size,
        root=facts.root,
        previous=facts.previous,
        at=now,
        key_id=signing.key_id(),
        signature=signing.sign(facts.text, CHECKPOINT),
    )


def facts_of(checkpoint: Checkpoint) -> CheckpointFacts:
    return CheckpointFacts(
        checkpoint.n,
        checkpoint.size,
        bytes(checkpoint.root),
        bytes(checkpoint.previous),
        microseconds(checkpoint.at),
    )


def computed_hash(seal: Seal) -> bytes:
    """Returns the hash of the seal's facts, whatever its own column says."""
    return seal_hash(
        seal.tenant_id,
        seal.batch,
        seal.first_seq,
        seal.size,
        microseconds(seal.first_at),
        microseconds(seal.last_at),
        bytes(seal.root),
        bytes(seal.previous),
        microseconds(seal.sealed_at),
        seal.retention_days,
    )


def hashes_under(checkpoint: int) -> list[bytes]:
    """Returns the hashes of the round's seals in order; for other tenants, nothing but the hash."""
    with connection.cursor() as cursor:
        cursor.execute("select audit_hashes_under(%s)", [checkpoint])
        return [bytes(hash_) for (hash_,) in cursor]


def _heads(cursor: CursorWrapper, rows: Iterable[Row]) -> dict[UUID, _Head]:
    cursor.execute(_HEADS, [list({row.tenant_id for row in rows})])
    return {tenant_id: _Head(batch, seq, bytes(hash_)) for tenant_id, batch, seq, hash_ in cursor}


def _retention(cursor: CursorWrapper, rows: Iterable[Row]) -> dict[UUID, int]:
    cursor.execute(_RETENTION, [list({row.tenant_id for row in rows})])
    return dict(cursor.fetchall())


def _chain(
    heads: dict[UUID, _Head], rows: list[Row], now: datetime, retention: dict[UUID, int]
) -> Iterator[Seal]:
    for batch in _batches(rows):
        tenant_id = batch[0].tenant_id
        seal = _next_seal(heads.get(tenant_id, _Head()), batch, now, retention[tenant_id])
        heads[tenant_id] = _Head(seal.batch, seal.first_seq + seal.size, bytes(seal.hash))
        yield seal


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    """Yields each tenant's rows, in order, a batch at a time."""
    of_tenant: dict[UUID, list[Row]] = {}
    for row in rows:
        of_tenant.setdefault(row.tenant_id, []).append(row)
    for own_rows in of_tenant.values():
        for start in range(0, len(own_rows), BATCH):
            yield own_rows[start : start + BATCH]


def _next_seal(head: _Head, batch: list[Row], now: datetime, retention_days: int) -> Seal:
    leaves = [merkle.leaf(row.line.encode()) for row in batch]
    seal = Seal(
        tenant_id=batch[0].tenant_id,
        batch=head.batch + 1,
        first_seq=head.next_seq,
        size=len(batch),
        first_at=min(row.at for row in batch),
        last_at=max(row.at for row in batch),
        event_ids=[row.id for row in batch],
        leaves=b"".join(leaves),
        root=merkle.root(leaves),
        previous=head.hash,
        sealed_at=now,
        retention_days=retention_days,
    )
    seal.hash = computed_hash(seal)
    return seal


def _number(cursor: CursorWrapper, seals: Iterable[Seal], checkpoint: int) -> Iterator[Seal]:
    """Gives the seals ids without a gap, so that a missing one shows."""
    cursor.execute("select coalesce(max(id), 0) from audit_seal")
    (last,) = cursor.fetchone()
    for position, seal in enumerate(seals):
        seal.id, seal.checkpoint, seal.position = last + 1 + position, checkpoint, position
        yield seal
