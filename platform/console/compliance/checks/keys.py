"""Checks of encryption at rest: the keys in use, and one of them tried out."""

import secrets
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db.models import Max, Min
from django.utils import timezone

from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.models import DataKey, KeyRotation
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import owned
from tenants.models import Tenant

OLDEST = timedelta(days=2 * 365)  # of the tenant key that encrypts new texts
STUCK = timedelta(hours=24)
FLIPS = 100


def inventory(tenant: Tenant | None) -> CheckOutcome:
    now = timezone.now()
    keys, rotations = owned(DataKey.objects.all(), tenant), owned(KeyRotation.objects.all(), tenant)
    upper = keys.filter(subject_id=None)
    newest = upper.order_by().values("tenant_id").annotate(made=Max("created_at"))
    oldest = newest.aggregate(least=Min("made"))["least"]
    latest = rotations.exclude(finished_at=None).order_by("-finished_at").first()
    stuck = rotations.filter(finished_at=None, started_at__lt=now - STUCK).count()
    figures: dict[str, Any] = {
        "tenant_keys": upper.count(),
        "subject_keys": keys.exclude(subject_id=None).count(),
        "oldest_active_days": (now - oldest).days if oldest else 0,
        "last_rotation": latest.finished_at.isoformat() if latest and latest.finished_at else None,
        "rotations_open": rotations.filter(finished_at=None).count(),
        "rotations_stuck": stuck,
    }
    return outcome(figures, stuck=stuck, old=oldest and now - oldest > OLDEST)


def aead(tenant: Tenant | None) -> CheckOutcome:
    """Try the tenant's live key; for the platform the first tenant's, or a new one."""
    first = tenant or Tenant.objects.order_by("created_at").first()
    cipher = keyring.of_subject_now(first.id if first else uuid4(), None)
    text, aad = secrets.token_bytes(64), b"compliance|%b|check" % uuid4().bytes
    ciphertext = cipher.encrypt(text, aad)
    moved = [aad + b"x", b"", b"compliance|elsewhere|check"]
    flips_refused = sum(_refuses(cipher, _flipped(ciphertext), aad) for _ in range(FLIPS))
    moves_refused = sum(_refuses(cipher, ciphertext, elsewhere) for elsewhere in moved)
    opened = cipher.decrypt(ciphertext, aad) == text and text not in ciphertext
    figures = {
        "opened": opened,
        "flips": FLIPS,
        "flips_refused": flips_refused,
        "moves": len(moved),
        "moves_refused": moves_refused,
    }
    protects = opened and flips_refused == FLIPS and moves_refused == len(moved)
    return outcome(figures, opens=not protects)


def _flipped(ciphertext: bytes) -> bytes:
    changed = bytearray(ciphertext)
    changed[secrets.randbelow(len(changed))] ^= 1 << secrets.randbelow(8)
    return bytes(changed)


def _refuses(cipher: Cipher, ciphertext: bytes, aad: bytes) -> bool:
    try:
        cipher.decrypt(ciphertext, aad)
    except Unreadable:
        return True
    return False
