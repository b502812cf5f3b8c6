"""Proofs that an event is sealed: its leaf, the paths to its batch's root and to a signature."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from audit import merkle
from audit.models import Checkpoint, Event, Seal
from audit.proof.records import checkpoint_record, seal_record
from audit.proof.seal import hashes_under
from audit.trail.canonical import LINE


def of_request(tenant_id: UUID, request_id: UUID) -> list[dict[str, Any]]:
    """Returns each event of the request: {action, at, line, leaf, proof}; `proof` None before its
    seal.
    """
    events = Event.objects.of_tenant(tenant_id).filter(request_id=request_id).order_by("at", "id")
    return [_described(tenant_id, event) for event in _with_lines(events)]


def _with_lines(events: QuerySet[Event]) -> Any:
    return events.annotate(line=RawSQL(LINE, []))  # noqa: S611


def _described(tenant_id: UUID, event: Any) -> dict[str, Any]:
    return {
        "action": event.action,
        "at": event.at,
        "line": event.line,
        "leaf": merkle.leaf(event.line.encode()).hex(),
        "proof": _proof(tenant_id, event),
    }


def _proof(tenant_id: UUID, event: Event) -> dict[str, Any] | None:
    seals = Seal.objects.of_tenant(tenant_id).filter(first_at__lte=event.at, last_at__gte=event.at)
    seal = seals.filter(event_ids__contains=[event.pk]).first()
    if seal is None:
        return None
    position, packed = seal.event_ids.index(event.pk), bytes(seal.leaves)
    leaves = [packed[at : at + 32] for at in range(0, len(packed), 32)]
    hashes = hashes_under(seal.checkpoint)
    return {
        "seq": seal.first_seq + position,
        "path": _hex(merkle.inclusion_proof(leaves, position)),
        "seal": {
            **seal_record(seal),
            "of": len(hashes),
            "path": _hex(merkle.inclusion_proof(hashes, seal.position)),
        },
        "checkpoint": checkpoint_record(Checkpoint.objects.get(n=seal.checkpoint)),
    }


def _hex(hashes: list[bytes]) -> list[str]:
    return [hash_.hex() for hash_ in hashes]
