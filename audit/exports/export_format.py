"""An export as JSON Lines that a third party can verify offline (audit/offline/forebay_verify.py).

The file has a header, then each checkpoint before its seals and each seal before its events, and
last a signed manifest with counts. A seal carries the leaves of its whole batch and its path to the
checkpoint's root, so that each event under it proves itself, even if others of its batch are
absent.

A complete export has every seal of its time range, and one on either side, so that no batch can be
left out. A batch whose events were pruned is present without leaves and names the pruned months.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import groupby, islice
from typing import IO, Any
from uuid import UUID

from django.db import connection
from django.db.models import Max, Min
from django.db.models.expressions import RawSQL

from audit import merkle
from audit.exports.trail_position import Head, broken_after, head_of, months_of, pruned_months
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Event, Seal
from audit.models.event import EventQuerySet
from audit.proof.chain import checkpoint_record, seal_record
from audit.trail.canonical import LINE, microseconds
from infrastructure.postgres.scope import scope

FORMAT = "forebay-export/1"
PURPOSE = "export"
SEALS_AT_ONCE = 100
Manifest = dict[str, Any]
_SEALED = """
    select seal.id, place.n, wanted.line
    from audit_seal seal cross join lateral unnest(seal.event_ids) with ordinality place(id, n)
    {join} join ({events}) wanted on wanted.id = place.id
    where seal.tenant_id = %s and seal.batch between %s and %s
    order by seal.batch, place.n"""


def write(
    out: IO[bytes],
    *,
    tenant_id: UUID | None,
    events: EventQuerySet | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Manifest:
    """Writes events of one tenant (None: the platform): all of a time range, or those in `events`.

    Returns the manifest, which is also the last line.
    """
    manifest: Manifest = {}
    with scope(system=True):  # a seal's path to its checkpoint goes past other tenants'
        for piece in pieces(tenant_id, since, until, events=events, manifest=manifest):
            out.write(piece)
    return manifest


def pieces(
    tenant_id: UUID | None,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    events: EventQuerySet | None = None,
    manifest: Manifest | None = None,
) -> Iterator[bytes]:
    """Yields the bytes that `write` writes, seeing all tenants, and fills in `manifest`."""
    chosen = Event.objects.all() if events is None else events
    selected = chosen.filter(tenant_id=tenant_id).between(since, until)
    owner, file, complete = tenant_id or PLATFORM, _File(), events is None
    head = head_of(owner)
    reach = _reach(owner, head, *((since, until) if complete else _times(selected)))
    yield file.line(_header(owner, since, until, head, complete=complete))
    yield from _sealed_pieces(file, owner, selected, reach, complete=complete)
    newest = Checkpoint.objects.filter(n=head.checkpoint).first()
    if newest and newest.n != file.last_checkpoint:
        yield file.line(checkpoint_record(newest))
    yield from _unsealed_pieces(file, selected, head)
    yield file.end({} if manifest is None else manifest)


class _File:
    """Serializes lines, counting and hashing them."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._counts = {"event": 0, "seal": 0, "checkpoint": 0}
        self.last_checkpoint = 0

    def line(self, record: dict[str, Any]) -> bytes:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        self._digest.update(line)
        if record["type"] in self._counts:
            self._counts[record["type"]] += 1
        return line

    def end(self, manifest: Manifest) -> bytes:
        manifest |= {
            "type": "manifest",
            "format": FORMAT,
            **{f"{kind}s": count for kind, count in self._counts.items()},
            "sha256": self._digest.hexdigest(),
            "public_key": base64.b64encode(signing.public_key()).decode(),
            "public_keys_old": [base64.b64encode(key).decode() for key in signing.older()],
            "key_id": signing.key_id(),
        }
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        signature = signing.sign(text.encode(), PURPOSE)
        manifest["signature"] = base64.b64encode(signature).decode()
        return json.dumps(manifest, separators=(",", ":")).encode() + b"\n"


def _times(events: EventQuerySet) -> tuple[datetime, datetime]:
    """Returns the range of the events, or an empty one at the present if there are none."""
    times = events.aggregate(first=Min("at"), last=Max("at"))
    first = times["first"] or datetime.now(UTC)
    return first, (times["last"] or first) + timedelta(microseconds=1)


def _reach(
    tenant_id: UUID, head: Head, since: datetime | None, until: datetime | None
) -> tuple[int, int]:
    """Returns the first and last batch to write: all in the range, and one on each side."""
    seals = Seal.objects.of_tenant(tenant_id).filter(batch__lte=head.batch)
    first, last = 1, head.batch
    if since:
        batch = seals.filter(last_at__gte=since).aggregate(n=Min("batch"))["n"]
        first = head.batch + 1 if batch is None else batch
    if until:
        last = seals.filter(first_at__lt=until).aggregate(n=Max("batch"))["n"] or 0
    return max(1, min(first - 1, last)), min(head.batch, max(first, last + 1))


def _header(
    tenant_id: UUID, since: datetime | None, until: datetime | None, head: Head, *, complete: bool
) -> dict[str, Any]:
    broken = broken_after(tenant_id, head) if complete else None
    return {
        "type": "header",
        "format": FORMAT,
        "tenant_id": str(tenant_id),
        "since_us": since and microseconds(since),
        "until_us": until and microseconds(until),
        "complete": complete,
        "made_at_us": microseconds(datetime.now(UTC)),
        "head": {"batch": head.batch, "checkpoint": head.checkpoint, "broken": broken},
    }


def _sealed_pieces(
    file: _File, tenant_id: UUID, events: EventQuerySet, reach: tuple[int, int], *, complete: bool
) -> Iterator[bytes]:
    places = _sealed(tenant_id, events, reach, complete=complete)
    batches = groupby(places, key=lambda place: place[0])
    listed = ((seal_id, [(n, line) for _, n, line in rows if line]) for seal_id, rows in batches)
    pruned = pruned_months()
    while some := list(islice(listed, SEALS_AT_ONCE)):
        proofs = _Proofs([seal_id for seal_id, _ in some], pruned)
        for seal_id, rows in some:
            yield b"".join(_batch(file, proofs, proofs.seals[seal_id], rows))


def _batch(
    file: _File, proofs: "_Proofs", seal: Seal, rows: list[tuple[int, str]]
) -> Iterator[bytes]:
    checkpoint = proofs.checkpoint(seal)
    if seal.checkpoint != file.last_checkpoint:
        file.last_checkpoint = seal.checkpoint
        yield file.line(checkpoint)
    yield file.line(proofs.seal(seal, bare=not rows))
    for n, line in rows:
        yield file.line(_event(seal.batch, seal.first_seq + n - 1, line))


def _sealed(
    tenant_id: UUID, events: EventQuerySet, reach: tuple[int, int], *, complete: bool
) -> Iterator[tuple[int, int, str | None]]:
    """Yields seal, position in it (from 1) and line, in sealing order.

    A complete export has each position; the line is None if the event is missing or out of range.
    """
    compiler = _lines(events).order_by().query.get_compiler("default", elide_empty=False)
    wanted, values = compiler.as_sql()
    with connection.chunked_cursor() as cursor:
        statement = _SEALED.format(events=wanted, join="left" if complete else "")
        cursor.execute(statement, [*values, tenant_id, *reach])
        while rows := cursor.fetchmany(2000):
            yield from rows


def _lines(events: EventQuerySet) -> Any:
    return events.annotate(line=RawSQL(LINE, [])).values("id", "line")  # noqa: S611


def _unsealed_pieces(file: _File, events: EventQuerySet, head: Head) -> Iterator[bytes]:
    """Yields events that were unsealed when the export began, though some may be sealed by now."""
    mark = [head.xid, head.event_id, head.after_id]
    behind = RawSQL("(xid, id) > (%s, %s) and id > %s", mark)
    waiting = events.annotate(waits=behind).filter(waits=True).order_by("xid", "id")
    for row in _lines(waiting).iterator():
        yield file.line(_event(None, None, row["line"]))


def _event(batch: int | None, seq: int | None, line: str) -> dict[str, Any]:
    return {"type": "event", "batch": batch, "seq": seq, "line": line}


class _Proofs:
    """Checkpoints and seal hashes needed to prove some seals."""

    def __init__(self, seal_ids: Iterable[int], pruned: frozenset[str]) -> None:
        self.seals = Seal.objects.in_bulk(list(seal_ids))
        numbers = {seal.checkpoint for seal in self.seals.values()}
        self._checkpoints = Checkpoint.objects.in_bulk(numbers)
        self._hashes: dict[int, list[bytes]] = {}
        self._pruned = pruned
        neighbours = Seal.objects.filter(checkpoint__in=numbers).order_by("checkpoint", "position")
        for n, hash_ in neighbours.values_list("checkpoint", "hash"):
            self._hashes.setdefault(n, []).append(bytes(hash_))

    def checkpoint(self, seal: Seal) -> dict[str, Any]:
        checkpoint = self._checkpoints.get(seal.checkpoint)
        if checkpoint is None or not 0 <= seal.position < len(self._hashes[seal.checkpoint]):
            raise ValueError(f"batch {seal.batch} is not under its checkpoint: run audit_verify")
        return checkpoint_record(checkpoint)

    def seal(self, seal: Seal, *, bare: bool) -> dict[str, Any]:
        """Returns the seal's record; `bare` if the export has none of its events."""
        hashes, months = self._hashes[seal.checkpoint], months_of(seal)
        dropped = [month for month in months if month in self._pruned]
        leaves = b"" if bare and dropped == months else seal.leaves
        return {
            **seal_record(seal),
            **({"dropped": dropped} if dropped else {}),
            "of": len(hashes),
            "path": [sibling.hex() for sibling in merkle.inclusion_proof(hashes, seal.position)],
            "leaves": base64.b64encode(leaves).decode(),
        }
