"""Checks that the trail is sealed, its seals hold, and witnesses outside the database have them.

The newest part is verified here, each time; audit/checks/full_verification.py verifies all of it
each night, as `manage.py audit_verify` does.
"""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from audit import merkle
from audit.checks.full_verification import NAME
from audit.keys import signing
from audit.models import Checkpoint, CheckRun, Event, Seal, WitnessMark
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts, computed_hash
from audit.proof.seal_mark import CannotSeal, unsealed_age
from audit.trail.canonical import LINE
from console.compliance.check import CheckOutcome, outcome
from tenants.models import Tenant

SEALS, DAYS = 40, 7  # the newest ones; 40 have at most 20,000 events
BEHIND_S = 60  # the sealer comes every second
UNHEARD = timedelta(minutes=10)
STALE = timedelta(days=2)
_LINES = f"select id, {LINE} from audit_event where id = any(%s) and at between %s and %s"


def newest_part(tenant: Tenant | None) -> CheckOutcome:
    recent = Seal.objects.filter(sealed_at__gte=timezone.now() - timedelta(days=DAYS))
    return _verified(list(recent.order_by("-id")[:SEALS]), tenant)


def part_after(pk: int) -> CheckOutcome:
    """Verify every seal after one of them, however many there are."""
    return _verified(list(Seal.objects.filter(pk__gt=pk).order_by("-id")), None)


def _verified(seals: list[Seal], tenant: Tenant | None) -> CheckOutcome:
    checkpoints = list(Checkpoint.objects.filter(n__in={seal.checkpoint for seal in seals}))
    wrong = [f"seal {s.batch}: {why}" for s in seals for why in _seal_problems(s)]
    wrong += [
        f"checkpoint {c.n}: {why}" for c in checkpoints for why in _checkpoint_problems(c, tenant)
    ]
    if len(checkpoints) < len({seal.checkpoint for seal in seals}):
        wrong.append("a checkpoint is missing")
    figures: dict[str, Any] = {
        "seals": len(seals),
        "events": sum(seal.size for seal in seals),
        "checkpoints": len(checkpoints),
        "newest_checkpoint": max((c.n for c in checkpoints), default=0),
        "wrong": len(wrong),
    }
    return outcome(figures, broken_seal=wrong, nothing_sealed=not seals and _waits_for_seal())


def _waits_for_seal() -> bool:
    now = timezone.now()
    late = now - timedelta(seconds=BEHIND_S)
    return Event.objects.filter(at__gt=now - timedelta(days=DAYS), at__lt=late).exists()


def _seal_problems(seal: Seal) -> list[str]:
    """Returns the differences of a batch from what was sealed."""
    leaves = _leaves(seal)
    problems = []
    if b"".join(leaves) != bytes(seal.leaves) or len(leaves) != seal.size:
        problems.append("its events are not those that were sealed")
    if leaves and merkle.root(leaves) != bytes(seal.root):
        problems.append("its root is not that of its events")
    if computed_hash(seal) != bytes(seal.hash):
        problems.append("it has been changed")
    if bytes(seal.previous) != _hash_before(seal):
        problems.append("the batch before it is not the one it was chained to")
    return problems


def _leaves(seal: Seal) -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_LINES, [seal.event_ids, seal.first_at, seal.last_at])
        lines = dict(cursor.fetchall())
    return [merkle.leaf(lines[pk].encode()) for pk in seal.event_ids if pk in lines]


def _hash_before(seal: Seal) -> bytes:
    if seal.batch == 1:
        return ZERO
    before = Seal.objects.filter(tenant_id=seal.tenant_id, batch=seal.batch - 1)
    digest = before.values_list("hash", flat=True).first()
    return bytes(digest) if digest else b""


def _checkpoint_problems(checkpoint: Checkpoint, tenant: Tenant | None) -> list[str]:
    facts, problems = CheckpointFacts.of(checkpoint), []
    if not signing.is_ours(facts.text, bytes(checkpoint.signature), CHECKPOINT):
        problems.append("its signature does not verify")
    if tenant is None:  # a tenant does not see the other seals of the round
        round_ = Seal.objects.filter(checkpoint=checkpoint.n).order_by("position")
        hashes = [bytes(digest) for digest in round_.values_list("hash", flat=True)]
        if merkle.root(hashes) != facts.root:
            problems.append("its root is not that of its seals")
    return problems


def unsealed(_tenant: Tenant | None) -> CheckOutcome:
    newest = Checkpoint.objects.order_by("-n").first()
    try:
        age, stopped = round(unsealed_age(), 1), False
    except CannotSeal:
        age, stopped = round((timezone.now() - newest.at).total_seconds(), 1) if newest else 0, True
    figures = {
        "unsealed_s": age,
        "checkpoint": newest.n if newest else 0,
        "sealed_events": newest.size if newest else 0,
        "sealed_at": newest.at.isoformat() if newest else None,
    }
    return outcome(figures, stopped=stopped, behind=age > BEHIND_S)


def witnesses(_tenant: Tenant | None) -> CheckOutcome:
    """Count the witnesses. Their names are shown to operators only."""
    newest = Checkpoint.objects.order_by("-n").first()
    marks = list(WitnessMark.objects.all())
    unheard = 0
    if newest:
        old = Checkpoint.objects.filter(at__lt=timezone.now() - UNHEARD).order_by("-n").first()
        unheard = sum(bool(mark.problem) or bool(old and mark.n < old.n) for mark in marks)
    figures = {
        "witnesses": len(marks),
        "behind": unheard,
        "newest_heard": max((mark.n for mark in marks), default=0),
        "checkpoint": newest.n if newest else 0,
    }
    return outcome(figures, none=newest and not marks, unheard=unheard)


def verified_at_night(_tenant: Tenant | None) -> CheckOutcome:
    """Show the kinds of findings: their events and tenants are for operators."""
    run = CheckRun.objects.filter(name=NAME, tenant_id=None).order_by("-at").first()
    old = timezone.now() - STALE
    if run is None:
        late = Checkpoint.objects.filter(at__lt=old).exists()
        return outcome({"sealed_events": 0, "verified_at": None}, stale=late)
    figures: dict[str, Any] = {
        "sealed_events": run.figures.get("sealed", 0),
        "checkpoints": run.figures.get("checkpoints", 0),
        "witnessed": run.figures.get("witnessed", 0),
        "wrong": run.figures.get("found", 0),
        "verified_at": run.at.isoformat(),
    }
    if not run.ok:
        kinds = run.figures.get("kinds", {})
        return CheckOutcome(
            "findings", {**figures, "found": [f"{n} × {k}" for k, n in kinds.items()]}
        )
    return outcome(figures, stale=run.at < old)
