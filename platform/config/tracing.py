"""The traces of this process, from its start to its end, if FOREBAY_TRACES is on."""

import atexit
import logging
import os
import socket
import sys
import time

from django.conf import settings

from config.logs.formatting import process_name, started_as
from inference.tracing.spans import record_with
from infrastructure import release

EVERY_S = 60.0
log = logging.getLogger(__name__)


def begin() -> None:
    """Begin to record traces. Ends the process with one line for wrong OpenTelemetry variables."""
    if not settings.TRACES:
        return
    from inference.tracing.recorder import Recorder

    throttle_exporter_logs()
    try:
        recorder = Recorder(_resource(), release.VERSION, clients=settings.TRACES_CLIENTS)
    except Exception as problem:
        sys.exit(f"FOREBAY_TRACES: {problem}")
    record_with(recorder)
    atexit.register(recorder.close)


def _resource() -> dict[str, str]:
    """Returns the attributes that identify this process.

    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    """
    attributes = {
        "service.version": release.VERSION,
        "service.instance.id": f"{process_name()}@{socket.gethostname()}:{os.getpid()}",
        "forebay.process": process_name(),
        "forebay.role": started_as(sys.argv),
    }
    if not os.environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = "forebay"
    return attributes


class ThrottledLog(logging.Handler):
    """A handler that logs one line a minute of the exporter's about a collector that is away."""

    def __init__(self) -> None:
        super().__init__()
        self._since, self._left_out = -EVERY_S, 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._since < EVERY_S:
            self._left_out += 1
            return
        also = f" ({self._left_out} lines like it left out)" if self._left_out else ""
        self._since, self._left_out = now, 0
        log.warning("traces: %s%s", record.getMessage(), also)


def throttle_exporter_logs() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate, theirs.handlers = False, [ThrottledLog()]
    # It quotes odd headers of a client, who could write to our log and displace lines about the
    # collector.
    logging.getLogger("opentelemetry.trace").setLevel(logging.CRITICAL)
