"""The sealer: seals new events once a second, and signs the seals under a checkpoint.

It takes events of finished transactions in an order in which no other can appear between them: by
transaction, then by id, up to the oldest transaction that still runs. It holds no lock that a
request could wait for.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Seal
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts, computed_hash
from audit.proof.seal_mark import AFTER, SetBack, mark, stay_set_back
from audit.trail.canonical import LINE
from infrastructure.postgres.queries import rows, value
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


class EventRow(NamedTuple):
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
    with scope(system=True):
        if not value("select pg_try_advisory_xact_lock(%s)", [LOCK]):
            return 0
        rows(_IN_ORDER)
        unsealed = [EventRow(*row) for row in rows(_UNSEALED, [*mark(), ROUND])]
        if unsealed:
            put_under_seal(unsealed)
            rows(_MOVE, [unsealed[-1].xid, unsealed[-1].id])
        return len(unsealed)


def put_under_seal(events: list[EventRow]) -> None:
    now, last = datetime.now(UTC), Checkpoint.objects.order_by("-n").first()
    n = last.n + 1 if last else 1
    seals = list(_chained(events, now))
    # Ids without a gap, so that a missing seal shows.
    last_id = value("select coalesce(max(id), 0) from audit_seal")
    for position, seal in enumerate(seals):
        seal.id, seal.checkpoint, seal.position = last_id + 1 + position, n, position
    Seal.objects.bulk_create(seals, batch_size=500)
    checkpoint = Checkpoint(
        n=n,
        size=(last.size if last else 0) + len(events),
        root=merkle.root([bytes(seal.hash) for seal in seals]),
        previous=CheckpointFacts.of(last).digest if last else ZERO,
        at=now,
        key_id=signing.key_id(),
    )
    text = CheckpointFacts.of(checkpoint).text
    checkpoint.signature = signing.sign(text, CHECKPOINT)
    checkpoint.save(force_insert=True)


def hashes_under(checkpoint: int) -> list[bytes]:
    """Returns the hashes of the round's seals in order; for other tenants, nothing but the hash."""
    return [bytes(hash_) for (hash_,) in rows("select audit_hashes_under(%s)", [checkpoint])]


def _chained(events: list[EventRow], now: datetime) -> Iterator[Seal]:
    """Yields the seals of each tenant's batches, each chained to the one before."""
    tenants = list({event.tenant_id for event in events})
    retention = _retention(tenants)
    heads = {
        tenant_id: _Head(batch, seq, bytes(hash_))
        for tenant_id, batch, seq, hash_ in rows(_HEADS, [tenants])
    }
    for batch in _batches(events):
        tenant_id = batch[0].tenant_id
        seal = _next_seal(heads.get(tenant_id, _Head()), batch, now, retention[tenant_id])
        heads[tenant_id] = _Head(seal.batch, seal.first_seq + seal.size, bytes(seal.hash))
        yield seal


def _retention(tenants: list[UUID]) -> dict[UUID, int]:
    return dict(rows(_RETENTION, [tenants]))


def _batches(events: list[EventRow]) -> Iterator[list[EventRow]]:
    """Yields each tenant's events, in order, a batch at a time."""
    of_tenant: dict[UUID, list[EventRow]] = {}
    for event in events:
        of_tenant.setdefault(event.tenant_id, []).append(event)
    for own_events in of_tenant.values():
        for start in range(0, len(own_events), BATCH):
            yield own_events[start : start + BATCH]


def _next_seal(head: _Head, batch: list[EventRow], now: datetime, retention_days: int) -> Seal:
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
