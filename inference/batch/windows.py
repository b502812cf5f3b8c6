"""The windows of a model's pools: how many lines of a batch may run now, and in which pools."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from inference.engines import Pool, pools_of
from inference.night_window import Window

DAY = timedelta(days=1)


def window_of(pool: Pool) -> Window | None:
    """Its own, else the installation's. None: any time."""
    given = pool.policy.window
    return Window.of(given) if given else settings.BATCH_WINDOW


def at_once(model: str, now: datetime, zone: ZoneInfo, most: int) -> int:
    """In the pool that may have the most. A model that is not served is refused at any time."""
    found = [_at_once(pool, now, zone, most) for pool in pools_of(model)]
    return max(found, default=most)


def open_pools(model: str, now: datetime, zone: ZoneInfo) -> frozenset[str] | None:
    """None: all of them."""
    pools = pools_of(model)
    found = frozenset(pool.name for pool in pools if _at_once(pool, now, zone, 1))
    return None if len(found) == len(pools) else found


def opens_next(model: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The earliest of its pools'."""
    found = [window_of(pool) for pool in pools_of(model)]
    moments = [window.opens_next(now, zone) if window else now for window in found]
    return min(moments, default=now + DAY)


def _at_once(pool: Pool, now: datetime, zone: ZoneInfo, most: int) -> int:
    window = window_of(pool)
    return window.at_once(now, zone, most) if window else most
