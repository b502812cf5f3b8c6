"""The metrics of this process as a page for Prometheus. It takes a thread milliseconds."""

from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from infrastructure.metrics import registry

OPENMETRICS = "application/openmetrics-text"
Page = tuple[str, bytes]  # content type and body
before_each: list[Callable[[], None]] = []  # called before each page, to refresh its figures


def page(accept: str = "") -> Page:
    """Returns the page: OpenMetrics if the `accept` header takes it, else the older text format."""
    for refresh in before_each:
        refresh()
    if OPENMETRICS in accept:
        body: bytes = openmetrics.generate_latest(registry())  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, body
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry())
