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

    Needs to see all tenants: a seal's path to its checkpoint goes past those of others. Answers
    the manifest, which is also the last line.
    """
    complete = events is None
    with scope(system=True):
        theirs = (Event.objects.all() if events is None else events).filter(tenant_id=tenant_id)
        theirs = theirs.between(since, until)  # type: ignore[attr-defined]
        file = _File(out)
        file.put(_header(tenant_id or PLATFORM, since, until, complete=complete))
        _put_sealed(file, tenant_id or PLATFORM, theirs)
        _put_unsealed(file, theirs)
        return file.end()


class _File:
    """Writes lines, and keeps count of them."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._digest = out, sha256()
        self.counts = {"event": 0, "seal": 0, "checkpoint": 0}
        self.last_checkpoint = 0

    def put(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        self._digest.update(line)
        self._out.write(line)
        if record["type"] in self.counts:
            self.counts[record["type"]] += 1

    def end(self) -> Manifest:
        body = {
            "type": "manifest",
            "format": FORMAT,
            **{f"{kind}s": count for kind, count in self.counts.items()},
            "sha256": self._digest.hexdigest(),
            "public_key": base64.b64encode(signing.public_key()).decode(),
            "key_id": signing.key_id(),
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        signature = base64.b64encode(signing.sign(text.encode(), PURPOSE)).decode()
        manifest = {**body, "signature": signature}
        self._out.write(json.dumps(manifest, separators=(",", ":")).encode() + b"\n")
        return manifest


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


def _put_sealed(file: _File, tenant_id: UUID, events: QuerySet[Event]) -> None:
    batches = groupby(_sealed(tenant_id, events), key=lambda row: row[0])
    listed = ((seal_id, [row[1:] for row in rows]) for seal_id, rows in batches)
    while some := list(islice(listed, AT_ONCE)):
        proofs = _Proofs([seal_id for seal_id, _ in some])
        for seal_id, rows in some:
            seal = proofs.seals[seal_id]
            if seal.checkpoint != file.last_checkpoint:
                file.put(proofs.checkpoint(seal))
                file.last_checkpoint = seal.checkpoint
            file.put(proofs.seal(seal))
            for n, line in rows:
                file.put(_event(seal.batch, seal.first_seq + n - 1, line))


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


def _put_unsealed(file: _File, events: QuerySet[Event]) -> None:
    mark = SealMark.objects.first() or SealMark()
    behind = RawSQL("(xid, id) > (%s, %s)", [mark.xid, mark.event_id])  # noqa: S611
    waiting = events.annotate(waits=behind).filter(waits=True).order_by("xid", "id")
    for row in _lines(waiting).iterator():
        file.put(_event(None, None, row["line"]))


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
