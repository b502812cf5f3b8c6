"""Exchanges the master key or a tenant's key under way: what hangs below is wrapped anew.

The keys below stay what they are, so no text is touched, and whatever is wrapped either way opens
throughout. Each step is a small transaction with its progress in it: killed anywhere, the next
`go_on` continues. Several may work at one exchange; a row's lock says whose turn it is.
"""

import logging
from time import monotonic
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from audit.actions import Action
from audit.keys.cipher import Cipher, Unreadable
from audit.keys.keyring import hold_tenant, keyring, newest, wrap, wrap_under_master
from audit.keys.master_keys import MasterKeys
from audit.models import DataKey, KeyRotation
from audit.models.key import MASTER
from audit.trail.record import act
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
STEP = 50  # keys in one transaction
ROUND_S = 2.0  # of a Celery task: the queue has other work


def start_tenant(tenant_id: UUID, *, by: str) -> KeyRotation:
    """A new key for the tenant, from now on used for what is new; or the exchange under way."""
    with scope(tenant=str(tenant_id)):
        hold_tenant(tenant_id)
        if going := _going(tenant_id):
            return going
        old = newest(tenant_id, None)
        version = old.version + 1 if old else 1
        new = DataKey(id=uuid4(), tenant_id=tenant_id, subject_id=None, version=version)
        wrap_under_master(new, AESGCM.generate_key(256))
        new.save(force_insert=True)
        return _started(tenant_id, old.id if old else new.id, new.id, by)


def start_master(*, by: str, renew: bool = False) -> KeyRotation:
    """To the current master key, a fresh one with `renew`; or the exchange under way to it.

    One to a master key that is no longer current is left, and its end goes on record.
    """
    master_keys: MasterKeys = settings.MASTER_KEYS
    with scope(system=True):
        going = _going(None)
        if going and going.new_key_id == master_keys.current_id() and not renew:
            return going
        if renew:
            master_keys.current.renew()
        current = master_keys.current_id()
        if going:
            _finish(going, left=True)
        under = _tenants_keys().exclude(wrapped_by=current).values_list("wrapped_by", flat=True)
        return _started(None, under.first() or current, current, by)


def go_on(rotation: KeyRotation, *, until: float | None = None) -> bool:
    """Works at it until it is through (True), or until this moment of the monotonic clock."""
    broken: list[UUID] = []
    after: UUID | None = None
    while until is None or monotonic() < until:
        after = _step(rotation, after, broken)
        if after is None and not _anything_left(rotation, broken):
            with scope(system=True):
                _finish(rotation, broken=broken)
            return True
    return False


def go_on_with_all() -> None:
    """What a beat wakes: everything that is not through yet."""
    until = monotonic() + ROUND_S
    with scope(system=True):
        going = list(KeyRotation.objects.filter(finished_at=None).order_by("started_at"))
    for rotation in going:
        if rotation.tenant_id or rotation.new_key_id == settings.MASTER_KEYS.current_id():
            go_on(rotation, until=until)


def left_behind() -> list[UUID]:
    """Tenants' keys that still need another master key than the current one."""
    current = settings.MASTER_KEYS.current_id()
    with scope(system=True):
        return list(_tenants_keys().exclude(wrapped_by=current).values_list("id", flat=True))


def _going(tenant_id: UUID | None) -> KeyRotation | None:
    return KeyRotation.objects.filter(tenant_id=tenant_id, finished_at=None).first()


def _started(tenant_id: UUID | None, old: UUID, new: UUID, by: str) -> KeyRotation:
    rotation = KeyRotation(tenant_id=tenant_id, old_key_id=old, new_key_id=new, actor=by)
    rotation.total = _waiting(rotation).count()
    try:
        with transaction.atomic():
            rotation.save(force_insert=True)
    except IntegrityError:  # somebody else was first
        return KeyRotation.objects.get(tenant_id=tenant_id, finished_at=None)
    _put_on_record(rotation, "start", total=rotation.total)
    return rotation


def _waiting(rotation: KeyRotation) -> QuerySet[DataKey]:
    """Keys that are not under the new one yet."""
    if rotation.tenant_id is None:
        below = _tenants_keys()
    else:
        below = DataKey.objects.filter(tenant_id=rotation.tenant_id, subject_id__isnull=False)
    return below.exclude(wrapped_by=rotation.new_key_id)


def _tenants_keys() -> QuerySet[DataKey]:
    return DataKey.objects.filter(subject_id=None)


def _step(rotation: KeyRotation, after: UUID | None, broken: list[UUID]) -> UUID | None:
    """The next few keys. Returns where it has come to; None: nothing came after `after`."""
    order = "subject_id" if rotation.tenant_id else "id"  # each along an index
    with scope(system=True):
        waiting = _waiting(rotation).order_by(order)
        if after:
            waiting = waiting.filter(**{f"{order}__gt": after})
        rows = list(waiting.select_for_update()[:STEP])
        above = keyring.by_id_now(rotation.new_key_id) if rotation.tenant_id else None
        done = [row for row in rows if _rewrapped(row, above, broken)]
        DataKey.objects.bulk_update(done, ["wrapped", "wrapped_by"])
        KeyRotation.objects.filter(pk=rotation.pk).update(done=F("done") + len(done))
    last: UUID | None = getattr(rows[-1], order) if rows else None
    return last


def _anything_left(rotation: KeyRotation, broken: list[UUID]) -> bool:
    with scope(system=True):
        return _waiting(rotation).exclude(id__in=broken).exists()


def _rewrapped(row: DataKey, above: Cipher | None, broken: list[UUID]) -> bool:
    try:
        key = keyring.unwrapped(row)
    except Unreadable as problem:  # damaged before: it stays as it is, and is counted
        log.error("cannot unwrap key %s: %s", row.id, problem)
        if row.id not in broken:
            broken.append(row.id)
        return False
    if above:
        wrap(row, key, above)
    else:
        wrap_under_master(row, key)
    return True


def _finish(rotation: KeyRotation, *, broken: list[UUID] | None = None, left: bool = False) -> None:
    open_still = KeyRotation.objects.filter(pk=rotation.pk, finished_at=None)
    if not open_still.update(finished_at=timezone.now()):
        return  # somebody else was first
    rotation.refresh_from_db()
    unreadable = len(broken or [])
    _put_on_record(rotation, "left" if left else "end", done=rotation.done, unreadable=unreadable)


def _put_on_record(rotation: KeyRotation, phase: str, **figures: int) -> None:
    old = None if rotation.old_key_id == MASTER else str(rotation.old_key_id)
    detail = {
        "rotation": str(rotation.id),
        "phase": phase,
        "key": "tenant" if rotation.tenant_id else "master",
        "old": old,
        "new": str(rotation.new_key_id),
        **figures,
    }
    success = not figures.get("unreadable")
    act(
        Action.KEY_ROTATE,
        actor=rotation.actor,
        tenant_id=rotation.tenant_id,
        success=success,
        detail=detail,
    )
