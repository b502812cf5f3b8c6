"""The windows of a model's pools: how many lines of a batch may run now, and in which pools.

Batches that rest until then are made due when the reason that they wait for may have changed.
"""

import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models.functions import Now
from django.db.models.signals import post_save

from inference.engines import Pool, pools_of
from inference.models import Batch
from inference.pool_policy import PoolWindow
from tenants.models import Tenant
from tenants.scope import system_scope

DAY = timedelta(days=1)
log = logging.getLogger(__name__)
AGAIN_S = 1.0


def window_of(pool: Pool) -> PoolWindow | None:
    """Returns the pool's window, else the installation's; None: any time."""
    own_window = pool.policy.window
    return PoolWindow.of(own_window) if own_window else settings.BATCH_WINDOW


def lines_at_once(model: str, now: datetime, zone: ZoneInfo, most: int) -> int:
    """Returns how many lines may run in the pool that allows most.

    A model that is not served is refused at any time, so its lines need no window.
    """
    counts = [_lines_at_once(pool, now, zone, most) for pool in pools_of(model)]
    return max(counts, default=most)


def open_pools(model: str, now: datetime, zone: ZoneInfo) -> frozenset[str] | None:
    """Returns the pools whose window is open; None: all of them."""
    pools = pools_of(model)
    names = frozenset(pool.name for pool in pools if _lines_at_once(pool, now, zone, 1))
    return None if len(names) == len(pools) else names


def opens_next(model: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Returns when the first of its pools' windows opens."""
    windows = [window_of(pool) for pool in pools_of(model)]
    moments = [window.opens_next(now, zone) if window else now for window in windows]
    return min(moments, default=now + DAY)


def _lines_at_once(pool: Pool, now: datetime, zone: ZoneInfo, most: int) -> int:
    window = window_of(pool)
    return window.at_once(now, zone, most) if window else most


def wake_resting(batch: UUID | None = None, tenant: UUID | None = None) -> int:
    """Make resting batches due: all, one, or a tenant's. Returns their number.

    A batch that still cannot go on rests again right away.
    """
    which = {name: value for name, value in (("pk", batch), ("tenant", tenant)) if value}
    with system_scope():
        return Batch.objects.resting().filter(**which).update(due_at=Now())


def wake_with_time_zones() -> None:
    """Connect a tenant's time zone with its batches, whose windows open by its clock."""
    post_save.connect(_wake_tenants_batches, sender=Tenant, dispatch_uid="batches of a tenant")


def _wake_tenants_batches(
    instance: Tenant, update_fields: Iterable[str] | None = None, **_signal: Any
) -> None:
    if "time_zone" in (update_fields or ()):
        transaction.on_commit(partial(wake_resting, tenant=instance.pk))


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
