"""The proof that an event is sealed: its leaf, and paths to its batch's root and a signature."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

from django.db.models.expressions import RawSQL

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Event, Seal, SealMark
from audit.proof.chain import (
    CHECKPOINT,
    CheckpointFacts,
    checkpoint_record,
    computed_hash,
    seal_record,
)
from audit.proof.seal import hashes_under
from audit.trail.canonical import LINE


class SealState(Enum):
    UNSEALED = auto()  # the event is new, or the sealer is away
    SEALED = auto()  # the event, its seal and its checkpoint agree
    CHANGED = auto()  # the event is not the one that was sealed
    BROKEN = auto()  # the seal or its checkpoint was changed


@dataclass(frozen=True, slots=True)
class ProofState:
    seal_state: SealState
    seal: Seal | None = None
    checkpoint: Checkpoint | None = None
    number: int = 0  # of the event in its tenant's trail


# The state ---------------------------------------------------------------------------------------
def proof_state(event: Event) -> ProofState:
    """Returns the event's seal and checkpoint, and whether both still hold."""
    mark = SealMark.objects.first()  # read before the seal, which may be made meanwhile
    seal = _seal_of(event)
    if seal is None:
        was_sealed = mark is not None and _is_up_to(mark, event)
        return ProofState(SealState.BROKEN if was_sealed else SealState.UNSEALED)
    position = seal.event_ids.index(event.id)
    checkpoint = Checkpoint.objects.filter(n=seal.checkpoint).first()
    state = _seal_state(event, seal, position, checkpoint)
    return ProofState(state, seal, checkpoint, seal.first_seq + position)


def _seal_of(event: Event) -> Seal | None:
    seals = Seal.objects.of_tenant(event.tenant_id or PLATFORM)
    around = seals.filter(last_at__gte=event.at, first_at__lte=event.at)
    return around.filter(event_ids__contains=[event.id]).order_by("last_at").first()


def _is_up_to(mark: SealMark, event: Event) -> bool:
    restart = max(mark.restarts, default=0)
    return event.id <= restart or (event.xid, event.id) <= (mark.xid, mark.event_id)


def _seal_state(
    event: Event, seal: Seal, position: int, checkpoint: Checkpoint | None
) -> SealState:
    leaves = merkle.unpacked(bytes(seal.leaves))
    if len(leaves) != seal.size or merkle.root(leaves) != bytes(seal.root):
        return SealState.BROKEN
    if checkpoint is None or not _holds(seal, checkpoint):
        return SealState.BROKEN
    (line,) = _lines(id=event.id, at=event.at).values_list("line", flat=True)
    same = leaves[position : position + 1] == [merkle.leaf(line.encode())]
    return SealState.SEALED if same else SealState.CHANGED


def _holds(seal: Seal, checkpoint: Checkpoint) -> bool:
    """Recomputes everything from the seal's facts up to the signature."""
    hashes, position = hashes_under(checkpoint.n), seal.position
    text = CheckpointFacts.of(checkpoint).text
    return (
        computed_hash(seal) == bytes(seal.hash)
        and hashes[position : position + 1] == [bytes(seal.hash)]
        and merkle.root(hashes) == bytes(checkpoint.root)
        and signing.is_ours(text, bytes(checkpoint.signature), CHECKPOINT)
    )


def _lines(**which: Any) -> Any:
    """Returns events with their lines as stored, because Python may lose digits of a number."""
    return Event.objects.filter(**which).annotate(line=RawSQL(LINE, []))  # noqa: S611


# The proof ---------------------------------------------------------------------------------------
def of_request(tenant_id: UUID, request_id: UUID) -> list[dict[str, Any]]:
    """Returns each event of the request: {action, at, line, leaf, proof}.

    `proof` is None before its seal.
    """
    events = _lines(tenant_id=tenant_id, request_id=request_id).order_by("at", "id")
    return [
        {
            "action": event.action,
            "at": event.at,
            "line": event.line,
            "leaf": merkle.leaf(event.line.encode()).hex(),
            "proof": _proof(event),
        }
        for event in events
    ]


def _proof(event: Event) -> dict[str, Any] | None:
    seal = _seal_of(event)
    if seal is None:
        return None
    position, hashes = seal.event_ids.index(event.pk), hashes_under(seal.checkpoint)
    path = merkle.inclusion_proof(merkle.unpacked(bytes(seal.leaves)), position)
    path_of_seal = merkle.inclusion_proof(hashes, seal.position)
    return {
        "seq": seal.first_seq + position,
        "path": [hash_.hex() for hash_ in path],
        "seal": {
            **seal_record(seal),
            "of": len(hashes),
            "path": [hash_.hex() for hash_ in path_of_seal],
        },
        "checkpoint": checkpoint_record(Checkpoint.objects.get(n=seal.checkpoint)),
    }
