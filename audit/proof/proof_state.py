"""How an event stands: under which seal and checkpoint, and whether both still hold."""

from dataclasses import dataclass
from enum import Enum, auto

from django.db import connection

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Event, Seal, SealMark
from audit.proof.chain import CHECKPOINT
from audit.proof.seal import hashed, hashes_under, signed
from audit.trail.canonical import LINE

HASH = 32  # bytes of a leaf


class Standing(Enum):
    UNSEALED = auto()  # it was written a moment ago, or the sealer is away
    SEALED = auto()  # and everything holds
    CHANGED = auto()  # it is not what was put under seal
    BROKEN = auto()  # the seal or its checkpoint is not what it was


@dataclass(frozen=True, slots=True)
class ProofState:
    standing: Standing
    seal: Seal | None = None
    checkpoint: Checkpoint | None = None
    number: int = 0  # of the event in its tenant's trail


def proof_state(event: Event) -> ProofState:
    mark = SealMark.objects.first()  # before the seal: it may come meanwhile
    seal = _seal_of(event)
    if seal is None:
        had_one = mark is not None and _is_up_to(mark, event)
        return ProofState(Standing.BROKEN if had_one else Standing.UNSEALED)
    place = seal.event_ids.index(event.id)
    leaves = [bytes(seal.leaves)[n : n + HASH] for n in range(0, len(bytes(seal.leaves)), HASH)]
    checkpoint = Checkpoint.objects.filter(n=seal.checkpoint).first()
    return ProofState(
        _standing(event, seal, leaves, place, checkpoint),
        seal,
        checkpoint,
        seal.first_seq + place,
    )


def _seal_of(event: Event) -> Seal | None:
    seals = Seal.objects.filter(
        tenant_id=event.tenant_id or PLATFORM, last_at__gte=event.at, first_at__lte=event.at
    )
    return seals.filter(event_ids__contains=[event.id]).order_by("last_at").first()


def _is_up_to(mark: SealMark, event: Event) -> bool:
    restart = max(mark.restarts, default=0)
    return event.id <= restart or (event.xid, event.id) <= (mark.xid, mark.event_id)


def _standing(
    event: Event, seal: Seal, leaves: list[bytes], place: int, checkpoint: Checkpoint | None
) -> Standing:
    if len(leaves) != seal.size or merkle.root(leaves) != bytes(seal.root):
        return Standing.BROKEN
    if checkpoint is None or not _holds(seal, checkpoint):
        return Standing.BROKEN
    same = leaves[place : place + 1] == [merkle.leaf(_line(event))]
    return Standing.SEALED if same else Standing.CHANGED


def _holds(seal: Seal, checkpoint: Checkpoint) -> bool:
    """From the seal's facts up to the signature, all is computed anew."""
    hashes, place = hashes_under(checkpoint.n), seal.position
    return (
        hashed(seal) == bytes(seal.hash)
        and hashes[place : place + 1] == [bytes(seal.hash)]
        and merkle.root(hashes) == bytes(checkpoint.root)
        and signing.is_ours(signed(checkpoint).text, bytes(checkpoint.signature), CHECKPOINT)
    )


def _line(event: Event) -> bytes:
    """As it is stored: what Python has read may have lost digits of a number."""
    with connection.cursor() as cursor:
        where = "where id = %s and at = %s"
        cursor.execute(f"select {LINE} from audit_event {where}", [event.id, event.at])
        return str(cursor.fetchone()[0]).encode()
