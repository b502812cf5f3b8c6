"""An export: JSON Lines that a stranger can verify offline (audit/offline/forebay_verify.py).

A header; then each checkpoint before its seals, each seal before its events; last a manifest that
counts and signs. A seal brings the leaves of its whole batch and its path to the checkpoint's
root, so that each line under it proves itself, also where only some events of a batch are here.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby, islice
from typing import IO, Any
from uuid import UUID

from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.db.models.expressions import RawSQL

from audit import merkle, signing
from audit.canonical import LINE, microseconds
from audit.models import PLATFORM, Checkpoint, Event, Seal, SealMark
from audit.scope import scope

FORMAT = "forebay-export/1"
PURPOSE = "export"
AT_ONCE = 100  # seals
Manifest = dict[str, Any]
_SEALED = """
    select seal.id, place.n, wanted.line
    from audit_seal seal cross join lateral unnest(seal.event_ids) with ordinality place(id, n)
    join ({events}) wanted on wanted.id = place.id
    where seal.tenant_id = %s and seal.last_at >= %s and seal.first_at <= %s
    order by seal.batch, place.n"""


def write(
    out: IO[bytes],
    *,
    tenant_id: UUID | None,
    events: QuerySet[Event] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Manifest:
    """Of one tenant (None: of the platform): everything in a time, or some of its `events`.

    Answers the manifest, which is also the last line.
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
    events: QuerySet[Event] | None = None,
    manifest: Manifest | None = None,
) -> Iterator[bytes]:
    """What `write` writes, for a connection that sees all tenants; fills in `manifest`."""
    chosen = Event.objects.all() if events is None else events
    theirs = _between(chosen.filter(tenant_id=tenant_id), since, until)
    owner, file = tenant_id or PLATFORM, _File()
    yield file.line(_header(owner, since, until, complete=events is None))
    yield from _sealed_pieces(file, owner, theirs)
    yield from _unsealed_pieces(file, theirs)
    yield file.end({} if manifest is None else manifest)


class _File:
    """Makes lines, and keeps count of them."""

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
            "key_id": signing.key_id(),
        }
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        signature = signing.sign(text.encode(), PURPOSE)
        manifest["signature"] = base64.b64encode(signature).decode()
        return json.dumps(manifest, separators=(",", ":")).encode() + b"\n"


def _between(
    events: QuerySet[Event], since: datetime | None, until: datetime | None
) -> QuerySet[Event]:
    if since:
        events = events.filter(at__gte=since)
    return events.filter(at__lt=until) if until else events


def _header(
    tenant_id: UUID, since: datetime | None, until: datetime | None, *, complete: bool
) -> dict[str, Any]:
    return {
        "type": "header",
        "format": FORMAT,
        "tenant_id": str(tenant_id),
        "since_us": since and microseconds(since),
        "until_us": until and microseconds(until),
        "complete": complete,
        "made_at_us": microseconds(datetime.now(UTC)),
    }


def _sealed_pieces(file: _File, tenant_id: UUID, events: QuerySet[Event]) -> Iterator[bytes]:
    batches = groupby(_sealed(tenant_id, events), key=lambda row: row[0])
    listed = ((seal_id, [row[1:] for row in rows]) for seal_id, rows in batches)
    while some := list(islice(listed, AT_ONCE)):
        proofs = _Proofs([seal_id for seal_id, _ in some])
        for seal_id, rows in some:
            yield b"".join(_batch(file, proofs, proofs.seals[seal_id], rows))


def _batch(
    file: _File, proofs: "_Proofs", seal: Seal, rows: list[tuple[int, str]]
) -> Iterator[bytes]:
    if seal.checkpoint != file.last_checkpoint:
        file.last_checkpoint = seal.checkpoint
        yield file.line(proofs.checkpoint(seal))
    yield file.line(proofs.seal(seal))
    for n, line in rows:
        yield file.line(_event(seal.batch, seal.first_seq + n - 1, line))


def _sealed(tenant_id: UUID, events: QuerySet[Event]) -> Iterator[tuple[int, int, str]]:
    """Seal, place in it from 1 on, and line, in the order of sealing."""
    reach = events.aggregate(first=Min("at"), last=Max("at"))
    if reach["first"] is None:
        return
    wanted, values = _lines(events).order_by().query.sql_with_params()
    with connection.chunked_cursor() as cursor:
        statement = _SEALED.format(events=wanted)
        cursor.execute(statement, [*values, tenant_id, reach["first"], reach["last"]])
        while rows := cursor.fetchmany(2000):
            yield from rows


def _lines(events: QuerySet[Event]) -> Any:
    return events.annotate(line=RawSQL(LINE, [])).values("id", "line")  # noqa: S611


def _unsealed_pieces(file: _File, events: QuerySet[Event]) -> Iterator[bytes]:
    mark = SealMark.objects.first() or SealMark()
    behind = RawSQL("(xid, id) > (%s, %s)", [mark.xid, mark.event_id])
    waiting = events.annotate(waits=behind).filter(waits=True).order_by("xid", "id")
    for row in _lines(waiting).iterator():
        yield file.line(_event(None, None, row["line"]))


def _event(batch: int | None, seq: int | None, line: str) -> dict[str, Any]:
    return {"type": "event", "batch": batch, "seq": seq, "line": line}


class _Proofs:
    """What is needed to prove some seals."""

    def __init__(self, seal_ids: Iterable[int]) -> None:
        self.seals = Seal.objects.in_bulk(list(seal_ids))
        numbers = {seal.checkpoint for seal in self.seals.values()}
        self._checkpoints = Checkpoint.objects.in_bulk(numbers)
        self._hashes: dict[int, list[bytes]] = {}
        beside = Seal.objects.filter(checkpoint__in=numbers).order_by("checkpoint", "position")
        for n, hash_ in beside.values_list("checkpoint", "hash"):
            self._hashes.setdefault(n, []).append(bytes(hash_))

    def checkpoint(self, seal: Seal) -> dict[str, Any]:
        return checkpoint_record(self._checkpoints[seal.checkpoint])

    def seal(self, seal: Seal) -> dict[str, Any]:
        hashes = self._hashes[seal.checkpoint]
        return {
            **seal_record(seal),
            "of": len(hashes),
            "path": [one.hex() for one in merkle.inclusion_proof(hashes, seal.position)],
            "leaves": base64.b64encode(seal.leaves).decode(),
        }


def checkpoint_record(found: Checkpoint) -> dict[str, Any]:
    return {
        "type": "checkpoint",
        "n": found.n,
        "size": found.size,
        "root": bytes(found.root).hex(),
        "previous": bytes(found.previous).hex(),
        "at_us": microseconds(found.at),
        "key_id": found.key_id,
        "signature": base64.b64encode(found.signature).decode(),
    }


def seal_record(seal: Seal) -> dict[str, Any]:
    return {
        "type": "seal",
        "tenant_id": str(seal.tenant_id),
        "batch": seal.batch,
        "first_seq": seal.first_seq,
        "size": seal.size,
        "root": bytes(seal.root).hex(),
        "previous": bytes(seal.previous).hex(),
        "sealed_at_us": microseconds(seal.sealed_at),
        "first_at_us": microseconds(seal.first_at),
        "last_at_us": microseconds(seal.last_at),
        "checkpoint": seal.checkpoint,
        "position": seal.position,
    }
