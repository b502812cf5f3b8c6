"""The gates of a pool that ask for reports of evaluations (inference/models/evaluation_gate.py)."""

from collections.abc import Sequence

from inference.models import Engine, ModelVersion
from inference.models.evaluation_gate import reasons


def evaluation_gates(version: ModelVersion, engine: Engine) -> Sequence[str]:
    """Returns why the version may not take the engine's place."""
    return reasons(engine.pool, version.label, str(engine.options.get("version") or ""))
