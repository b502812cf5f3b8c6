"""Imports redis-py without OpenTelemetry, whose metrics of Redis nobody reads here.

redis-py imports OpenTelemetry if that is installed, at 2 MB and 0.1 s per process. This module must
be imported before redis: it hides OpenTelemetry during that import.
"""

import sys
from importlib import import_module

_UNWANTED = "opentelemetry"

if _UNWANTED not in sys.modules:
    sys.modules[_UNWANTED] = None  # type: ignore[assignment]  # None: not to be imported
    try:
        import_module("redis.observability.providers")
    finally:
        del sys.modules[_UNWANTED]
