"""The Chromium that tests drive; without one they are skipped."""

import pytest

from bench.servers.chromium import PATH, launched

__all__ = ["launched", "needed"]
needed = pytest.mark.skipif(not PATH, reason="no Chromium on this machine")
