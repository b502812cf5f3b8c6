"""The gates of pools that ask for reports of evaluations: models/evaluations/evaluation_gate.py."""

from collections.abc import Sequence

from inference.models import Engine, ModelVersion, VersionKind
from inference.models.evaluations.evaluation_gate import reasons


def evaluation_gates(version: ModelVersion, engine: Engine) -> Sequence[str]:
    """Returns why the version may not take the engine's place."""
    is_adapter = version.kind == VersionKind.ADAPTER
    name = str(version) if is_adapter else version.label  # as reports name it
    return reasons(engine, name, version.tenant_id)
