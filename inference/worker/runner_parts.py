"""The objects that the parts of a runner share."""

from dataclasses import dataclass

from inference.engines.base import Engine
from inference.worker.connections import Connections
from inference.worker.engine_metrics import EngineWatch
from inference.worker.engine_slots import EngineSlots
from inference.worker.guard import Guard
from inference.worker.preemption import Preemption
from inference.worker.queue_charges import Charging
from inference.worker.requests import Requests


@dataclass(slots=True)
class RunnerParts:
    """`engine`: as this runner uses it (Engine.used)."""

    pool: str
    engine: Engine
    connections: Connections
    requests: Requests
    slots: EngineSlots
    watch: EngineWatch
    charging: Charging
    preemption: Preemption

    @property
    def guard(self) -> Guard:
        return self.slots.guard
