"""Checks of encryption at rest: the keys in use, and one of them tried out."""

import secrets
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db.models import Max, Min
from django.utils import timezone

from audit.keys.keyring import Cipher, Unreadable, keyring
from audit.models import DataKey, KeyRotation
from console.compliance.check import Check, Outcome, Problem
from console.compliance.texts import Text
from tenants.models import Tenant

OLDEST = timedelta(days=2 * 365)  # of the tenant key that encrypts new texts
STUCK = timedelta(hours=24)
FLIPS = 100


def _inventory(tenant: Tenant | None) -> Outcome:
    now = timezone.now()
    keys, rotations = DataKey.objects.all(), KeyRotation.objects.all()
    if tenant:
        keys, rotations = keys.filter(tenant_id=tenant.id), rotations.filter(tenant_id=tenant.id)
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
    if stuck:
        return Outcome("stuck", figures)
    return Outcome("old" if oldest and now - oldest > OLDEST else "", figures)


def _aead(tenant: Tenant | None) -> Outcome:
    """Try the tenant's live key; for the platform the first tenant's, or a new one."""
    first = tenant or Tenant.objects.order_by("created_at").first()
    cipher = keyring.of_subject_now(first.id if first else uuid4(), None)
    text, aad = secrets.token_bytes(64), b"compliance|%b|check" % uuid4().bytes
    ciphertext = cipher.encrypt(text, aad)
    moved = [aad + b"x", b"", b"compliance|elsewhere|check"]
    figures = {
        "opened": cipher.decrypt(ciphertext, aad) == text and text not in ciphertext,
        "flips": FLIPS,
        "flips_refused": sum(_refuses(cipher, _flipped(ciphertext), aad) for _ in range(FLIPS)),
        "moves": len(moved),
        "moves_refused": sum(_refuses(cipher, ciphertext, elsewhere) for elsewhere in moved),
    }
    refusals = (figures["flips_refused"], figures["moves_refused"])
    return Outcome(
        "" if figures["opened"] and refusals == (FLIPS, len(moved)) else "opens", figures
    )


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


CHECKS = (
    Check(
        "keys",
        Text("Inventory of encryption keys", "加密密钥清单"),
        Text(
            "Counts tenants' and persons' keys, and looks for their age and for exchanges under "
            "way.",
            "统计租户密钥与个人密钥，检查其使用时长以及进行中的轮换。",
        ),
        _inventory,
        {
            "stuck": Problem(
                Text(
                    "An exchange of a key has been under way for more than a day.",
                    "有密钥轮换已进行超过一天。",
                ),
                Text(
                    "Run `manage.py rotate_keys` again: it goes on where it stopped.",
                    "再次运行 `manage.py rotate_keys`：它会从中断处继续。",
                ),
            ),
            "old": Problem(
                Text(
                    "A tenant's key has encrypted new data for more than two years.",
                    "有租户密钥用于加密新数据已超过两年。",
                ),
                Text("Exchange it: `manage.py rotate_keys`.", "请轮换：`manage.py rotate_keys`。"),
            ),
        },
    ),
    Check(
        "aead",
        Text("Encryption tried out with a live key", "以在用密钥实测加密"),
        Text(
            "Seals random bytes (AES-256-GCM), opens them, and tries a hundred flipped bits and "
            "three other places: all of these must be refused.",
            "加密随机数据（AES-256-GCM）并解密，再尝试一百次比特翻转与三次位置替换，均必须被拒绝。",
        ),
        _aead,
        {
            "opens": Problem(
                Text("A changed ciphertext was opened.", "被改动的密文得以解密。"),
                Text(
                    "Stop the platform: encryption does not protect. Report it with the versions "
                    "of Forebay and of `cryptography`.",
                    "请停止平台：加密已失去保护作用，并附 Forebay 与 `cryptography` 的版本报告。",
                ),
            )
        },
    ),
)
