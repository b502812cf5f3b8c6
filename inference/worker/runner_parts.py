"""The objects that the parts of a runner share."""

from dataclasses import dataclass

from django.conf import settings

from audit.trail.group_commit import GroupCommit
from inference.cache.levels import SecondLevel
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.queue.fair_queue import FairQueue
from inference.record import sql_statements
from inference.record.recorded_requests import EncryptedRequests
from inference.stream.writer import Writer
from inference.worker.energy_meter import EnergyMeter
from inference.worker.engine_metrics import EngineWatch
from inference.worker.engine_slots import EngineSlots
from inference.worker.guard import Guard
from inference.worker.held_requests import HeldRequests
from inference.worker.preemption import Preemption
from inference.worker.work_reports import WorkReports
from infrastructure.postgres.lookups import Lookups
from infrastructure.redis.cluster_link import link_to
from infrastructure.redis.link import RedisLink

SETTLE_PATIENCE_S = 60.0


class Connections:
    """`redis` is shared by everything of the runner; its notes wait on a link of their own."""

    def __init__(self, pool: str, redis: RedisLink, session: EngineSession) -> None:
        self.redis, self.session = redis, session
        self._notes = link_to(settings.REDIS_URL, timeout_s=None)
        self.queue = FairQueue(redis, pool)
        self.inbox = FairQueue(self._notes, pool)
        self.writer = Writer(redis)
        self.answers = SecondLevel(redis)
        self.commits = GroupCommit(
            settings.DATABASE_URL,
            sql_statements.SETTLED,
            patience_s=SETTLE_PATIENCE_S,
            what="settled",
        )
        self.recorded = EncryptedRequests(settings.DATABASE_URL)
        self.lookups = Lookups(settings.DATABASE_URL)

    async def close(self) -> None:
        await self.writer.drained()
        await self.commits.close()
        await self.recorded.close()
        await self.lookups.close()
        self.redis.close()
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
