"""Rotates the master key or a tenant's key during operation, by wrapping the keys below it anew.

The keys below stay the same, so no text is touched, and keys in either wrapping work throughout.
Each step is a small transaction that includes its progress: after a crash the next `advance`
continues. Several workers may share a rotation; row locks divide the work.
"""

import logging
from time import monotonic
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from audit.actions import Action
from audit.keys.cipher import Cipher, Unreadable
from audit.keys.keyring import keyring, lock_tenant_keys, newest, wrap, wrap_under_master
from audit.keys.master_keys import MasterKeys
from audit.models import DataKey, KeyRotation
from audit.trail.record import act
from infrastructure.postgres.queries import lock
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
STEP = 50  # keys in one transaction
ROUND_S = 2.0  # per Celery task: the queue has other work


def start_tenant(tenant_id: UUID, *, by: str) -> KeyRotation:
    """Makes a key for the tenant's new texts and rotates to it; returns a rotation in progress."""
    with scope(tenant=str(tenant_id)):
        lock_tenant_keys(tenant_id)
        if current := _in_progress(tenant_id):
            return current
        old = newest(tenant_id, None)
        version = old.version + 1 if old else 1
        new = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=None, version=version)
        wrap_under_master(new, AESGCM.generate_key(256))
        new.save(force_insert=True)
        return _start(tenant_id, old.id if old else new.id, new.id, by)


def start_master(*, by: str, renew: bool = False) -> KeyRotation:
    """Starts a rotation to the current master key, with `renew` to a new one; returns one in
    progress.

    A rotation to a master key that is no longer current is abandoned, and its end is recorded.
    """
    master_keys: MasterKeys = settings.MASTER_KEYS
    with scope(system=True):
        lock("rotation of the master key")
        running = _in_progress(None)
        if running and running.new_key_id == master_keys.current_id() and not renew:
            return running
        if renew:
            master_keys.current.renew()
        current = master_keys.current_id()
        if running:
            _finish(running, abandoned=True)
        former = _below(None).exclude(wrapped_by=current).values_list("wrapped_by", flat=True)
        return _start(None, former.first() or current, current, by)


def advance(rotation: KeyRotation, *, until: float | None = None) -> bool:
    """Works until the rotation is complete (True), or until this moment of the monotonic clock."""
    broken: list[UUID] = []
    after: UUID | None = None
    while until is None or monotonic() < until:
        after = _step(rotation, after, broken)
        if after is None:
            with scope(system=True):
                if not _unrotated(rotation).exclude(id__in=broken).exists():
                    _finish(rotation, unreadable=len(broken))
                    return True
    return False


def advance_all() -> None:
    """Works on every rotation in progress, for ROUND_S; beat sends this."""
    until = monotonic() + ROUND_S
    with scope(system=True):
        running = list(KeyRotation.objects.filter(finished_at=None).order_by("started_at"))
    for rotation in running:
        if rotation.tenant_id or rotation.new_key_id == settings.MASTER_KEYS.current_id():
            advance(rotation, until=until)


def keys_under_old_masters() -> list[UUID]:
    """Returns tenants' keys that still need another master key than the current one."""
    current = settings.MASTER_KEYS.current_id()
    with scope(system=True):
        return list(_below(None).exclude(wrapped_by=current).values_list("id", flat=True))


def _in_progress(tenant_id: UUID | None) -> KeyRotation | None:
    return KeyRotation.objects.filter(tenant_id=tenant_id, finished_at=None).first()


def _start(tenant_id: UUID | None, old: UUID, new: UUID, by: str) -> KeyRotation:
    rotation = KeyRotation(tenant_id=tenant_id, old_key_id=old, new_key_id=new, actor=by)
    rotation.total = _unrotated(rotation).count()
    rotation.save(force_insert=True)
    _record(rotation, "start", total=rotation.total)
    return rotation


def _unrotated(rotation: KeyRotation) -> QuerySet[DataKey]:
    """Returns the keys that are not under the new one yet."""
    return _below(rotation.tenant_id).exclude(wrapped_by=rotation.new_key_id)


def _below(tenant_id: UUID | None) -> QuerySet[DataKey]:
    """Returns the keys that a tenant's key wraps, or, for None, the master key."""
    if tenant_id is None:
        return DataKey.objects.filter(subject_id=None)
    return DataKey.objects.filter(tenant_id=tenant_id, subject_id__isnull=False)


def _step(rotation: KeyRotation, after: UUID | None, broken: list[UUID]) -> UUID | None:
    """Wraps the next few keys anew. Returns the position reached, or None after the last."""
    order = "subject_id" if rotation.tenant_id else "id"  # each along an index
    with scope(system=True):
        unrotated = _unrotated(rotation).order_by(order, "version")
        if after:
            unrotated = unrotated.filter(**{f"{order}__gt": after})
        rows = list(unrotated.select_for_update()[:STEP])
        tenant_key = keyring.by_id_now(rotation.new_key_id) if rotation.tenant_id else None
        done = [row for row in rows if _rewrapped(row, tenant_key, broken)]
        DataKey.objects.bulk_update(done, ["wrapped", "wrapped_by"])
        KeyRotation.objects.filter(pk=rotation.pk).update(done=F("done") + len(done))
    last: UUID | None = getattr(rows[-1], order) if rows else None
    return last


def _rewrapped(row: DataKey, tenant_key: Cipher | None, broken: list[UUID]) -> bool:
    try:
        key = keyring.unwrap(row)
    except Unreadable as problem:  # was damaged already: stays as it is, and is counted
        log.error("cannot unwrap key %s: %s", row.id, problem)
        if row.id not in broken:
            broken.append(row.id)
        return False
    if tenant_key:
        wrap(row, key, tenant_key)
    else:
        wrap_under_master(row, key)
    return True


def _finish(rotation: KeyRotation, *, unreadable: int = 0, abandoned: bool = False) -> None:
    unfinished = KeyRotation.objects.filter(pk=rotation.pk, finished_at=None)
    if not unfinished.update(finished_at=timezone.now()):
        return  # another process was first
    rotation.refresh_from_db()
    phase = "left" if abandoned else "end"
    _record(rotation, phase, done=rotation.done, unreadable=unreadable)


def _record(rotation: KeyRotation, phase: str, **figures: int) -> None:
    detail = {
        "rotation": str(rotation.id),
        "phase": phase,
        "key": "tenant" if rotation.tenant_id else "master",
        "old": str(rotation.old_key_id),
        "new": str(rotation.new_key_id),
        **figures,
    }
    act(
        Action.KEY_ROTATE,
        actor=rotation.actor,
        tenant_id=rotation.tenant_id,
        success=not figures.get("unreadable"),
        detail=detail,
    )
