"""Who waits in Valkey, for how long, and how fair it is: for the jobs' metrics.

What is asked for is bounded, however many tenants wait (lines/ends.py).
"""

import time

from inference.engines import pools
from inference.lines.ends import ends, oldest_s
from inference.lines.overview import ClassLines, overview
from inference.metrics.labels import CLASS, POOL
from infrastructure.metrics import Gauge

_OF = POOL, CLASS
WAITING = Gauge("forebay_requests_waiting", "Requests in the queue", *_OF)
RUNNING = Gauge(
    "forebay_requests_running", "Requests that have a slot, by the queue's leases", *_OF
)
PARKED = Gauge("forebay_requests_parked", "Of those that wait: they gave up their slot", *_OF)
TENANTS = Gauge("forebay_tenants_waiting", "Tenants of which a request waits", *_OF)
EXPECTED = Gauge("forebay_expected_wait_seconds", "How long one more would have to wait", *_OF)
OLDEST = Gauge("forebay_oldest_waiting_seconds", "For how long the oldest has waited", *_OF)
DRIFT = Gauge(
    "forebay_fairness_drift_tokens",
    "Between the tenant that has had the most tokens for its weight and the one that has had the "
    "fewest, of those that wait in a class",
    *_OF,
)
_GAUGES = WAITING, RUNNING, PARKED, TENANTS, EXPECTED, OLDEST, DRIFT
_Figures = dict[Gauge, dict[tuple[str, ...], float]]


def read(until: float) -> None:
    """`until`: of the monotonic clock; pools after that are left out. Raises redis.RedisError."""
    found: _Figures = {gauge: {} for gauge in _GAUGES}
    for pool in pools():
        if time.monotonic() > until:
            break
        for of_class in overview(pool).classes:
            _read_class(pool, of_class, found)
    for gauge, figures in found.items():
        gauge.set_all(figures)


def forget() -> None:
    for gauge in _GAUGES:
        gauge.forget()


def _read_class(pool: str, of_class: ClassLines, found: _Figures) -> None:
    key = pool, of_class.name
    found[WAITING][key], found[RUNNING][key] = of_class.waiting, of_class.running
    found[PARKED][key], found[TENANTS][key] = of_class.parked, of_class.tenants
    found[EXPECTED][key] = of_class.wait_ms / 1000
    tenants = ends(pool, of_class.name) if of_class.waiting else []
    scores = [score for _, score in tenants]
    found[DRIFT][key] = max(scores) - min(scores) if scores else 0
    found[OLDEST][key] = oldest_s(pool, of_class.name, [name for name, _ in tenants])
