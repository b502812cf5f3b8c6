"""Gates before a version serves: others register what a version must have, such as a report.

inference/evaluation asks for reports. A gate answers with reasons in the reader's language; a
version that has any is not promoted.
"""

from collections.abc import Sequence
from typing import Protocol

from audit.actions import Action
from inference.models import Engine, ModelVersion
from inference.models.recorded_refusal import RecordedRefusal


class Gate(Protocol):
    def __call__(self, version: ModelVersion, engine: Engine) -> Sequence[str]:
        """Returns why the version may not take the engine's place; nothing if it may."""


_gates: dict[str, Gate] = {}


class GateRefused(RecordedRefusal):
    """The version may not serve."""

    def __init__(
        self, version: ModelVersion, engine: Engine, reasons: Sequence[str], by: str
    ) -> None:
        super().__init__({"version": list(reasons)})
        self._version, self._engine, self.reasons, self._by = version, engine, list(reasons), by

    def record(self) -> None:
        names = {"engine": self._engine.name, "pool": self._engine.pool.name}
        self._version.record(Action.MODEL_VERSION_REFUSE, self._by, **names, reasons=self.reasons)


def register(name: str, gate: Gate) -> None:
    _gates[name] = gate


def check(version: ModelVersion, engine: Engine, *, by: str) -> None:
    """Raises GateRefused with the reasons of all gates."""
    reasons = [reason for gate in _gates.values() for reason in gate(version, engine)]
    if reasons:
        raise GateRefused(version, engine, reasons, by)
