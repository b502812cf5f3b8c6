"""A running installation, broken by the commands of its plan."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from channels.db import database_sync_to_async

from config.drills import recorded, undoing
from config.drills.clients import Clients
from config.drills.consistency import Mark, Recorded
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
        # Who stops a drill does not stop the thread in which a command breaks something. Undoing
        # waits for that command, and none follows it.
        self._commands = threading.Lock()
        self._is_ending = False

    def load(self) -> Load:
        return self._clients.load(self._plan.clients)

    async def problem(self) -> str:
        return await asyncio.to_thread(problem, self._plan, self._cluster)

    async def primary(self) -> str:
        return await asyncio.to_thread(self._cluster.primary_name)

    async def break_(self, kind: Kind) -> str:
        """Raises Unhealthy where a command fails: it is undone like the others."""
        self._is_ending = False
        return await asyncio.to_thread(self._break, kind)

    def _break(self, kind: Kind) -> str:
        if kind.name == BY_PATRONI:
            return self._cluster.switch_over()
        values, step = self._cluster.values(), self._plan.kinds[kind.name]
        commands = [filled(each, values) for each in step.break_]
        with self._commands:
            self._undoing.note([filled(each, values) for each in step.undo])
            for command in commands:
                if self._is_ending:
                    raise Unhealthy("the drill was stopped")
                if failure := undoing.run(command):
                    raise Unhealthy(f"{' '.join(command)}: {failure}")
        return values["name"]

    async def undo(self, kind: Kind) -> None:
        """Raises Unhealthy where a command fails twice."""
        self._is_ending = True
        if failures := await asyncio.to_thread(self._undo):
            raise Unhealthy(f"not undone, run `forebay drill undo`: {failures[0]}")

    def _undo(self) -> list[str]:
        with self._commands:
            return self._undoing.undo()

    async def split(self) -> str:
        primaries = await asyncio.to_thread(self._cluster.primaries)
        return f"two primaries: {', '.join(primaries)}" if len(primaries) > 1 else ""

    async def mark(self) -> Mark:
        return await database_sync_to_async(recorded.mark)(self._clients.tenant)

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

    async def others(self, ids: Sequence[str], since: Mark) -> Sequence[str]:
        return await database_sync_to_async(recorded.others)(self._clients.tenant, ids, since)

    async def books(self, since: Mark) -> Mapping[str, list[str]]:
        return await database_sync_to_async(recorded.books)(self._clients.tenant, since)


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
