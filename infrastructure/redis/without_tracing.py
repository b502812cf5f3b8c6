"""redis-py imports OpenTelemetry where that is installed, for figures that nobody here asks of it.

That would cost each process 2 MB and 0.1 s, traces or not. So it comes first, and finds none.
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
