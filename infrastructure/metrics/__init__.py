"""Metrics for operators: counters, gauges and histograms (docs/operations/metrics.md).

A family is defined in the module that counts. Code takes the child of its labels and adds to it:
plain numbers, without a lock. Prometheus' client only renders them at a scrape.
"""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from infrastructure.metrics.families import (
    ANY_OF_FEW,
    FAMILIES,
    OTHER,
    Counter,
    Gauge,
    Histogram,
    Label,
    Words,
)

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
    """Returns a registry of all families of this process, and of the process itself."""
    registry_ = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry_)
    PlatformCollector(registry=registry_)
    for family in list(FAMILIES.values()):
        registry_.register(family)
    return registry_
