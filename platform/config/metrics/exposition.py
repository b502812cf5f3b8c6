"""The figures of this process as Prometheus reads them. Takes milliseconds, of a thread."""

from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from infrastructure.metrics import registry

OPENMETRICS = "application/openmetrics-text"
Page = tuple[str, bytes]  # its content type, and the page
before_each: list[Callable[[], None]] = []  # called first: brings figures that are read up to date


def page(accept: str = "") -> Page:
    """`accept`: of HTTP. OpenMetrics for whoever takes it, else the text format of before."""
    for bring in before_each:
        bring()
    if OPENMETRICS in accept:
        written: bytes = openmetrics.generate_latest(registry())  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, written
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry())
