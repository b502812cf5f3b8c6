"""The objects that the parts of a runner share."""

from dataclasses import dataclass

from django.conf import settings

from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.queue.fair_queue import FairQueue
from inference.worker.energy_meter import EnergyMeter
from inference.worker.engine_metrics import EngineWatch
from inference.worker.engine_slots import EngineSlots
from inference.worker.guard import Guard
from inference.worker.held_requests import HeldRequests
from inference.worker.preemption import Preemption
from inference.worker.shared_connections import SharedConnections
from inference.worker.work_reports import WorkReports
from infrastructure.redis.cluster_link import link_to


class Connections:
    """Those of one runner's pool and engine, and `shared` ones of its event loop.

    Its notes wait on a link of their own.
    """

    def __init__(self, pool: str, shared: SharedConnections, session: EngineSession) -> None:
        self.session = session
        self.redis, self.writer, self.answers = shared.redis, shared.writer, shared.answers
        self.commits, self.recorded, self.lookups = shared.commits, shared.recorded, shared.lookups
        self._notes = link_to(settings.REDIS_URL, timeout_s=None)
        self.queue = FairQueue(self.redis, pool)
        self.inbox = FairQueue(self._notes, pool)

    def close(self) -> None:
        self._notes.close()


@dataclass(slots=True)
class RunnerParts:
    """`engine`: as this runner uses it (Engine.used)."""

    pool: str
    engine: Engine
    connections: Connections
    requests: HeldRequests
    slots: EngineSlots
    watch: EngineWatch
    work_reports: WorkReports
    preemption: Preemption
    energy: EnergyMeter | None = None

    @property
    def guard(self) -> Guard:
        return self.slots.guard
