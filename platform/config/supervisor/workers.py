"""Follows the engines in PostgreSQL: each has a worker, and with `launch` a server, as long as it
is there.

A worker whose engine was removed finishes what it runs.
"""

import asyncio
import logging
from typing import Any

import psycopg

from config import environment
from config.environment import DATABASE_PATIENCE
from config.supervisor.child import Child
from config.supervisor.engines.launch_command import EngineServer
from config.supervisor.engines.launches import EngineRow
from config.supervisor.engines.server_life import until_idle
from config.supervisor.keeper import Keeper
from config.supervisor.options import RunOptions, runs_here
from config.supervisor.servers import Servers
from config.supervisor.terminal import RunProblem, say
from config.supervisor.worker_processes import WorkerProcesses
from inference.engine_entries import queues
from infrastructure.descriptor_wait import readable

log = logging.getLogger(__name__)
CHANNEL = "forebay_registry"  # inference/sql/registry_changes.sql
LOOK_S, AGAIN_S = 30.0, 1.0
PAUSE_S = 0.2  # between two looks: anybody with SQL can send endless notifications
SERVER_S = 10.0  # until a server that does not end is killed
_ENGINES = """
    select e.name, e.kind, e.slots, e.url, e.options, e.from_file, m.name,
           coalesce(nullif(e.seat, ''), e.name), e.stopped,
           e.lent_since is not null and e.stopped and not e.gpu_free
    from inference_engine e join inference_pool p on p.id = e.pool_id
    join inference_model m on m.id = p.model_id order by e.position, e.created_at"""


class Workers:
    def __init__(
        self, options: RunOptions, keeper: Keeper, processes: WorkerProcesses, servers: Servers
    ) -> None:
        self._count, self._keeper, self._processes = options.workers_per_engine, keeper, processes
        self._launches = servers.launches
        self._url = f"postgresql://{servers.database_url.partition('://')[2]}"

    async def start(self) -> None:
        """Start the workers of the present engines, then follow changes. Raises psycopg.Error."""
        async with await self._connected() as connection:
            await self._look(connection)
        self._keeper.run_alongside(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, RunProblem) as problem:
                log.warning("cannot follow the engines: %s", problem)
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        async with await self._connected() as connection:
            await connection.execute(f"listen {CHANNEL}")
            while True:
                pause = asyncio.create_task(asyncio.sleep(PAUSE_S))
                await self._look(connection)
                self._keeper.bound_logs()
                until = asyncio.get_running_loop().time() + LOOK_S
                came_meanwhile = await _take_notifications(connection)
                if not came_meanwhile and await readable(connection.fileno(), until):
                    await _take_notifications(connection)
                await pause

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        rows = [EngineRow(*row) for row in await (await connection.execute(_ENGINES)).fetchall()]
        rows_here = [row for row in rows if runs_here(row.seat)]
        await self._launches.look(rows_here)
        self._processes.assign(
            {
                queue: row.seat
                for row in rows_here
                for queue in queues(row.seat, row.kind, row.slots, self._count)
            }
        )
        if servers := self._launches.forget_others({row.name for row in rows_here}):
            self._keeper.run_alongside(self._end(servers))

    async def _end(self, servers: list[tuple[EngineServer, Child]]) -> None:
        for _, child in servers:
            say(f"{child.name} ends: its engine was removed")
        patience = environment.number("FOREBAY_REQUEST_DEADLINE_S", 600)
        await asyncio.gather(*(self._end_server(*each, patience) for each in servers))

    async def _end_server(self, server: EngineServer, child: Child, patience: float) -> None:
        """Stop a server that has no request: its worker finishes them before."""
        await until_idle(server, patience)
        await self._keeper.retire(child, SERVER_S)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, **DATABASE_PATIENCE
        )


async def _take_notifications(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Returns whether there were notifications.

    Those that came along with an answer count too: the socket is not readable for them any more.
    """
    notifications = [each async for each in connection.notifies(timeout=0)]
    return bool(notifications or connection.pgconn.notifies())
