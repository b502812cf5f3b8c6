"""Traces of this process, from its start to its end, where FOREBAY_TRACES is on."""

import atexit
import logging
import os
import socket
import sys
import time

from django.conf import settings

from config.logs.naming import process_name, started_as
from inference.tracing.spans import record_with
from infrastructure import release

SELDOM_S = 60.0
log = logging.getLogger(__name__)


def begin() -> None:
    """Ends the process with one line where OpenTelemetry's variables make no sense."""
    if not settings.TRACES:
        return
    from inference.tracing.recorder import Recorder

    speak_seldom()
    try:
        recorder = Recorder(_resource(), release.VERSION, clients=settings.TRACES_CLIENTS)
    except Exception as problem:
        sys.exit(f"FOREBAY_TRACES: {problem}")
    record_with(recorder)
    atexit.register(recorder.close)


def _resource() -> dict[str, str]:
    """Who says it; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES weigh more."""
    found = {
        "service.version": release.VERSION,
        "service.instance.id": f"{process_name()}@{socket.gethostname()}:{os.getpid()}",
        "forebay.process": process_name(),
        "forebay.role": started_as(sys.argv),
    }
    if not os.environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = "forebay"
    return found


class Seldom(logging.Handler):
    """Of what the exporter says of a collector that is away, one line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._since, self._left_out = -SELDOM_S, 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._since < SELDOM_S:
            self._left_out += 1
            return
        also = f" ({self._left_out} lines like it left out)" if self._left_out else ""
        self._since, self._left_out = now, 0
        log.warning("traces: %s%s", record.getMessage(), also)


def speak_seldom() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate, theirs.handlers = False, [Seldom()]
    # It repeats what is odd in a client's headers: the client would write to our log, and in the
    # place of what is said of the collector.
    logging.getLogger("opentelemetry.trace").setLevel(logging.CRITICAL)
