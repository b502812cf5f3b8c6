"""The cluster of namespaces as an installation that drills break, alone or under a platform."""

import asyncio
from collections.abc import Mapping, Sequence

from channels.db import database_sync_to_async

from config.drills import recorded
from config.drills.clients import Clients
from config.drills.consistency import Mark, Recorded
from config.drills.load import Load
from console.compliance.drills.kinds import Kind
from tests.drills import record_door
from tests.drills.cluster import Cluster
from tests.drills.faults import Faults
from tests.drills.platform import Platforms


class ClusterAlone:
    """The cluster without a platform: clients write rows through HAProxy by group commits."""

    def __init__(self, cluster: Cluster, clients: int) -> None:
        self.cluster, self._clients = cluster, clients
        self._faults = Faults(cluster)
        record_door.prepare(cluster.dsn(cluster.primary()))

    @property
    def _dsn(self) -> str:
        password, port = self.cluster.passwords["postgres"], self.cluster.variables["proxy_port"]
        return f"postgresql://postgres:{password}@{self.cluster.desk.address}:{port}/postgres"

    def load(self) -> Load:
        doors = [record_door.RecordDoor(self._dsn)]
        return Load(doors, self._clients)

    async def problem(self) -> str:
        return await asyncio.to_thread(self.cluster.unhealthy)

    async def break_(self, kind: Kind) -> str:
        return await asyncio.to_thread(self._faults.break_, kind.name)

    async def undo(self, kind: Kind) -> None:
        await asyncio.to_thread(self._faults.undo)

    async def split(self) -> str:
        primaries = await asyncio.to_thread(self.cluster.primaries)
        return f"two primaries: {', '.join(primaries)}" if len(primaries) > 1 else ""

    async def primary(self) -> str:
        return await asyncio.to_thread(self.cluster.primary)

    async def mark(self) -> Mark:
        return Mark(event=await asyncio.to_thread(record_door.newest, self._dsn))

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        return await asyncio.to_thread(record_door.recorded, self._dsn, ids)

    async def others(self, ids: Sequence[str], since: Mark) -> Sequence[str]:
        return await asyncio.to_thread(record_door.others, self._dsn, ids, since.event)

    async def books(self, since: Mark) -> Mapping[str, list[str]]:
        return {}

    def stop(self) -> None:
        self._faults.undo()


class UnderAPlatform(ClusterAlone):
    """The cluster with platforms on it: clients come through their front doors."""

    def __init__(
        self, cluster: Cluster, clients: int, platforms: Platforms, asking: Clients
    ) -> None:
        super().__init__(cluster, clients)
        self._platforms, self._asking = platforms, asking

    def load(self) -> Load:
        return self._asking.load(self._clients)

    async def problem(self) -> str:
        problem = await super().problem()
        return problem or await asyncio.to_thread(self._platforms.problem)

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        count = database_sync_to_async(recorded.open_requests)
        for _ in range(120):
            if not await count(self._asking.tenant):
                break
            await asyncio.sleep(1)
        return await database_sync_to_async(recorded.read)(ids)

    async def mark(self) -> Mark:
        return await database_sync_to_async(recorded.mark)(self._asking.tenant)

    async def others(self, ids: Sequence[str], since: Mark) -> Sequence[str]:
        return await database_sync_to_async(recorded.others)(self._asking.tenant, ids, since)

    async def books(self, since: Mark) -> Mapping[str, list[str]]:
        return await database_sync_to_async(recorded.books)(self._asking.tenant, since)
