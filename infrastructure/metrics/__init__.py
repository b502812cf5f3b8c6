"""What operators can measure: counters, gauges and histograms (docs/operations/metrics.md).

A family stands beside what it counts. Whoever counts takes the child of its labels and adds to it:
plain numbers, without a lock. Prometheus' client only writes them down when somebody asks.
"""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from infrastructure.metrics.families import FAMILIES, Counter, Gauge, Histogram
from infrastructure.metrics.labels import ANY_OF_FEW, OTHER, Label, Words

__all__ = (
    "ANY_OF_FEW",
    "FAMILIES",
    "OTHER",
    "Counter",
    "Gauge",
    "Histogram",
    "Label",
    "Words",
    "registry",
)


def registry() -> CollectorRegistry:
    """Of all families that this process has, and of the process itself."""
    whole = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=whole)
    PlatformCollector(registry=whole)
    for family in list(FAMILIES.values()):
        whole.register(family)
    return whole
