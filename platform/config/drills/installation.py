"""A running installation, broken by the commands of its plan."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from channels.db import database_sync_to_async

from config.drills import recorded, undoing
from config.drills.clients import Clients
from config.drills.consistency import Recorded
from config.drills.load import Load
from config.drills.patroni import Cluster, opened
from config.drills.plan import BY_PATRONI, Plan, filled
from config.drills.procedure import Unhealthy
from config.drills.undoing import Undoing
from console.compliance.drills.kinds import Kind

_READY_S = 5
_SETTLED_S = 120.0


class RealInstallation:
    def __init__(self, plan: Plan, clients: Clients, home: Path) -> None:
        self._plan, self._clients = plan, clients
        self._cluster, self._undoing = Cluster(plan.patroni), Undoing(home)

    def load(self) -> Load:
        return self._clients.load(self._plan.clients)

    async def problem(self) -> str:
        return await asyncio.to_thread(problem, self._plan, self._cluster)

    async def break_(self, kind: Kind) -> str:
        """Raises Unhealthy where a command fails: it is undone like the others."""
        return await asyncio.to_thread(self._break, kind)

    def _break(self, kind: Kind) -> str:
        if kind.name == BY_PATRONI:
            return self._cluster.switch_over()
        values, step = self._cluster.values(), self._plan.kinds[kind.name]
        self._undoing.note([filled(each, values) for each in step.undo])
        for command in step.break_:
            if failure := undoing.run(filled(command, values)):
                raise Unhealthy(f"{' '.join(command)}: {failure}")
        return values["name"]

    async def undo(self, kind: Kind) -> None:
        if failures := await asyncio.to_thread(self._undoing.undo):
            raise Unhealthy(f"not undone, run `forebay drill undo`: {failures[0]}")

    async def split(self) -> str:
        primaries = await asyncio.to_thread(self._cluster.primaries)
        return f"two primaries: {', '.join(primaries)}" if len(primaries) > 1 else ""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        await self._until_settled()
        return await database_sync_to_async(recorded.read)(ids)

    async def _until_settled(self) -> None:
        """Wait until no request of the drill is open: the ledger counts those that ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLED_S
        count = database_sync_to_async(recorded.open_requests)
        while True:
            waiting = await count(self._clients.tenant)
            if not waiting or loop.time() > deadline:
                return
            await asyncio.sleep(1)

    async def books(self) -> Mapping[str, list[str]]:
        return await database_sync_to_async(recorded.books)(self._clients.tenant)


def problem(plan: Plan, cluster: Cluster) -> str:
    """Returns why nothing may be broken now, "" if it may."""
    if reason := cluster.problem():
        return reason
    for url in plan.http:
        try:
            opened(f"{url}/readyz", _READY_S).close()
        except OSError as error:
            return f"{url} is not ready: {error}"
    return ""
