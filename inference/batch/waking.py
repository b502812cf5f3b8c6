"""Makes resting batches due when the reason that they wait for may have changed."""

import logging
import time
from collections.abc import Iterable
from functools import partial
from threading import Thread
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction
from django.db.models.functions import Now
from django.db.models.signals import post_save

from inference.models import Batch
from tenants.models import Tenant
from tenants.scope import system_scope

log = logging.getLogger(__name__)
AGAIN_S = 1.0


def wake_resting(batch: UUID | None = None) -> int:
    """Make resting batches due, all or one. Returns their number.

    A batch that still cannot go on rests again right away.
    """
    with system_scope():
        resting = Batch.objects.resting()
        return (resting.filter(pk=batch) if batch else resting).update(due_at=Now())


def wake_with_time_zones() -> None:
    """Connect a tenant's time zone with its batches, whose windows open by its clock."""
    post_save.connect(_wake_tenants_batches, sender=Tenant, dispatch_uid="batches of a tenant")


def _wake_tenants_batches(
    instance: Tenant, update_fields: Iterable[str] | None = None, **_signal: Any
) -> None:
    if "time_zone" in (update_fields or ()):
        transaction.on_commit(partial(_wake_batches_of, instance.pk))


def _wake_batches_of(tenant: UUID) -> None:
    with system_scope():
        Batch.objects.resting().filter(tenant=tenant).update(due_at=Now())


def wake_resting_soon(**_signal: object) -> None:
    """Start a thread that tries until PostgreSQL answers. Returns immediately."""
    Thread(target=_wake_until_done, name="waking", daemon=True).start()


def _wake_until_done() -> None:
    while True:
        try:
            woken = wake_resting()
            return log.info("%d batches that rested are looked at again", woken) if woken else None
        except DatabaseError as problem:
            log.warning("cannot wake batches: %s", problem)
        finally:
            connections.close_all()
        time.sleep(AGAIN_S)
