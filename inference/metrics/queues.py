"""Metrics of waiting requests in Valkey, their waits and their fairness, for the jobs' exporter.

Its questions are bounded for any number of tenants (queue_control/overview.py).
"""

import time

from inference.engines import all_queues
from inference.metrics.labels import CLASS, POOL
from inference.queue_control.overview import ClassLines, ends, oldest_s, overview
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
    """Set the figures until `until` of the monotonic clock; later pools are left out.

    Raises redis.RedisError.
    """
    by_gauge: _Figures = {gauge: {} for gauge in _GAUGES}
    for pool in all_queues():
        if time.monotonic() > until:
            break
        for of_class in overview(pool).classes:
            _read_class(pool, of_class, by_gauge)
    for gauge, figures in by_gauge.items():
        gauge.set_all(figures)


def forget() -> None:
    for gauge in _GAUGES:
        gauge.forget()


def _read_class(pool: str, of_class: ClassLines, by_gauge: _Figures) -> None:
    key = pool, of_class.name
    by_gauge[WAITING][key], by_gauge[RUNNING][key] = of_class.waiting, of_class.running
    by_gauge[PARKED][key], by_gauge[TENANTS][key] = of_class.parked, of_class.tenants
    by_gauge[EXPECTED][key] = of_class.wait_ms / 1000
    tenants = ends(pool, of_class.name) if of_class.waiting else []
    scores = [score for _, score in tenants]
    by_gauge[DRIFT][key] = max(scores) - min(scores) if scores else 0
    by_gauge[OLDEST][key] = oldest_s(pool, of_class.name, [name for name, _ in tenants])
