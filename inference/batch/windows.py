"""The windows of a model's pools: how many lines of a batch may run now, and in which pools."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from inference.engines import Pool, pools_of
from inference.night_window import Window

DAY = timedelta(days=1)


def window_of(pool: Pool) -> Window | None:
    """Returns the pool's window, else the installation's; None: any time."""
    own_window = pool.policy.window
    return Window.of(own_window) if own_window else settings.BATCH_WINDOW


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
