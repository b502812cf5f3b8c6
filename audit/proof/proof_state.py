"""The proof of an event: its seal and checkpoint, and whether both still hold."""

from dataclasses import dataclass
from enum import Enum, auto

from django.db import connection

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Event, Seal, SealMark
from audit.proof.chain import CHECKPOINT
from audit.proof.seal import computed_hash, facts_of, hashes_under
from audit.trail.canonical import LINE

HASH = 32  # bytes of a leaf


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


def proof_state(event: Event) -> ProofState:
    mark = SealMark.objects.first()  # read before the seal, which may be made meanwhile
    seal = _seal_of(event)
    if seal is None:
        was_sealed = mark is not None and _is_up_to(mark, event)
        return ProofState(SealState.BROKEN if was_sealed else SealState.UNSEALED)
    position = seal.event_ids.index(event.id)
    leaves = [bytes(seal.leaves)[n : n + HASH] for n in range(0, len(bytes(seal.leaves)), HASH)]
    checkpoint = Checkpoint.objects.filter(n=seal.checkpoint).first()
    return ProofState(
        _seal_state(event, seal, leaves, position, checkpoint),
        seal,
        checkpoint,
        seal.first_seq + position,
    )


def _seal_of(event: Event) -> Seal | None:
    seals = Seal.objects.filter(
        tenant_id=event.tenant_id or PLATFORM, last_at__gte=event.at, first_at__lte=event.at
    )
    return seals.filter(event_ids__contains=[event.id]).order_by("last_at").first()


def _is_up_to(mark: SealMark, event: Event) -> bool:
    restart = max(mark.restarts, default=0)
    return event.id <= restart or (event.xid, event.id) <= (mark.xid, mark.event_id)


def _seal_state(
    event: Event, seal: Seal, leaves: list[bytes], position: int, checkpoint: Checkpoint | None
) -> SealState:
    if len(leaves) != seal.size or merkle.root(leaves) != bytes(seal.root):
        return SealState.BROKEN
    if checkpoint is None or not _holds(seal, checkpoint):
        return SealState.BROKEN
    same = leaves[position : position + 1] == [merkle.leaf(_line(event))]
    return SealState.SEALED if same else SealState.CHANGED


def _holds(seal: Seal, checkpoint: Checkpoint) -> bool:
    """Recomputes everything from the seal's facts up to the signature."""
    hashes, position = hashes_under(checkpoint.n), seal.position
    return (
        computed_hash(seal) == bytes(seal.hash)
        and hashes[position : position + 1] == [bytes(seal.hash)]
        and merkle.root(hashes) == bytes(checkpoint.root)
        and signing.is_ours(facts_of(checkpoint).text, bytes(checkpoint.signature), CHECKPOINT)
    )


def _line(event: Event) -> bytes:
    """Returns the line as stored, because Python may lose digits of a number."""
    with connection.cursor() as cursor:
        where = "where id = %s and at = %s"
        cursor.execute(f"select {LINE} from audit_event {where}", [event.id, event.at])
        return str(cursor.fetchone()[0]).encode()
