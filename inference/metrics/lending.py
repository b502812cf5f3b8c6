"""Metrics of engines that pools lend to jobs."""

from inference.engines import in_force
from inference.metrics.labels import POOL
from inference.pool_policy import JOBS
from infrastructure.metrics import Counter, Gauge, Histogram

_SECONDS = (1, 2, 5, 10, 20, 30, 45, 60, 120, 300, 600)
LENT = Gauge("forebay_engines_lent", "Engines whose GPU jobs may use", POOL)
HAND_BACKS = Counter("forebay_hand_backs_total", "Lent engines that jobs have given back", POOL)
JOB_S = Histogram(
    "forebay_hand_back_seconds",
    "From the request for a lent engine until no job was left on its GPU",
    POOL,
    bounds=_SECONDS,
)
RETURN_S = Histogram(
    "forebay_lending_return_seconds",
    "From the request for a lent engine until its server was ready again",
    POOL,
    bounds=_SECONDS,
)


def read() -> None:
    """Set the figures that this process knows, for the jobs' exporter."""
    queues = in_force().jobs
    LENT.set_all({(name.removesuffix(JOBS),): len(jobs.engines) for name, jobs in queues.items()})
