"""Batches that wait for a moment are looked at again when that may have changed."""

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
    """Makes due what waits for a window or an engine: all of it, or one. Returns how many.

    What still cannot go on is let go of again at once.
    """
    with system_scope():
        resting = Batch.objects.resting()
        return (resting.filter(pk=batch) if batch else resting).update(due_at=Now())


def wake_with_time_zones() -> None:
    """Connects a tenant's time zone with its batches: windows open by its clock."""
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
    """Tries until PostgreSQL answers. Does not wait."""
    Thread(target=_patiently, name="waking", daemon=True).start()


def _patiently() -> None:
    while True:
        try:
            woken = wake_resting()
            return log.info("%d batches that rested are looked at again", woken) if woken else None
        except DatabaseError as problem:
            log.warning("cannot wake batches: %s", problem)
        finally:
            connections.close_all()
        time.sleep(AGAIN_S)
