"""`make drill`: a cluster of namespaces, with platforms on it, and what breaks there."""

import os
from pathlib import Path

# Before config.environment reads it: the drill's own keys are none of a platform's in var.
_HOME = Path(__file__).resolve().parents[2] / "var" / "drills" / "home"
os.environ.setdefault("FOREBAY_HOME", str(_HOME))
