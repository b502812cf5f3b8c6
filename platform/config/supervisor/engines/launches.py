"""The servers of engines with `launch`: they are started and stopped as the registry changes.

FOREBAY_ENGINES alone, as this process has read it, names the commands that run. From PostgreSQL
comes no more than the name of a model file, which has to lie in a folder of FOREBAY_MODELS.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.supervisor.child import Child, Stage
from config.supervisor.engines import launch_command
from config.supervisor.engines.launch_addresses import KEYS
from config.supervisor.engines.launch_command import Server
from config.supervisor.engines.server_state import Life
from config.supervisor.engines.server_watch import ServerWatch
from config.supervisor.home import Home
from config.supervisor.http_probe import get
from config.supervisor.keeper import PATIENCE, Keeper
from config.supervisor.terminal import Problem, done, say
from inference import launching
from inference.launching import HOST, Launch


class Row(NamedTuple):
    """An engine in PostgreSQL."""

    name: str
    kind: str
    slots: int
    url: str
    options: Mapping[str, Any]
    from_file: bool
    model: str
    seat: str = ""  # inference/pools.py


class Launches:
    """The running servers.

    `url` is PostgreSQL's; `folders` have the models that operators may launch.
    """

    def __init__(
        self,
        home: Home,
        keeper: Keeper,
        url: str,
        from_file: Mapping[str, Server],
        folders: Sequence[Path],
    ) -> None:
        self._home, self._keeper, self._url = home, keeper, url
        self._from_file, self._folders = from_file, folders
        self._secret = home.password(KEYS).encode()
        self._running: dict[str, tuple[Server, Child]] = {}
        self._watches: dict[str, ServerWatch] = {}
        self._refused: dict[str, str] = {}

    async def look(self, rows: Sequence[Row]) -> None:
        """Start servers of new engines, and restart those whose command has changed."""
        for row in rows:
            try:
                await self._follow(row)
                self._refused.pop(row.name, None)
            except (Problem, ValueError, OSError) as problem:
                self._refuse(row.name, str(problem))

    def forget_others(self, known: Collection[str]) -> list[Child]:
        """Forget the servers of removed engines, and return them, to stop after their workers."""
        return [self._running.pop(name)[1] for name in self._running.keys() - set(known)]

    async def _follow(self, row: Row) -> None:
        wanted, running = self._wanted(row), self._running.get(row.name)
        if running and wanted and running[0].runs == wanted.runs:
            self._watches[row.name].server = wanted
            return
        if running:
            del self._running[row.name]
            say(f"{running[1].name} ends: its engine was changed")
            await self._keeper.retire(running[1], PATIENCE[Stage.SERVER])
        if wanted:
            await self._start(wanted)

    def _wanted(self, row: Row) -> Server | None:
        """Returns the server that an engine should have, None for none. Raises ValueError."""
        if row.from_file:
            return self._from_file.get(row.name)
        if not (launch_options := row.options.get("launch")):
            return None
        if row.kind != "llama_cpp":
            raise ValueError("FOREBAY_ENGINES alone can say that a command is run")
        launch = Launch(str(launching.model_file(self._folders, str(launch_options["model"]))))
        key = launching.api_key(self._secret, row.name)
        fields = {"name": row.model, "slots": row.slots, **row.options}
        return Server(row.name, row.kind, launching.port_of(row.url), key, fields, launch)

    async def _start(self, server: Server) -> None:
        """Start a server and record the engine as starting. Raises Problem, OSError."""
        child = self._child(server)
        self._watches[server.engine] = watch = ServerWatch(server)
        within_s = server.launch.start_within_s
        life = Life(server.engine, self._url, _Ready(server), within_s, watch)
        await life.record_start()
        self._keeper.keep(child, life)
        self._running[server.engine] = server, child
        say(f"{child.name} is starting, at port {server.port}")

    def _child(self, server: Server) -> Child:
        command = launch_command.command(server, self._home)
        return self._keeper.child(
            f"engine.{server.engine}",
            command.line,
            {**command.variables, "FOREBAY_HOME": str(self._home.root)},
            stage=Stage.SERVER,
            inherited=launch_command.without_platform_variables(os.environ),
            orphan_signal=command.orphan_signal,
            yields=False,
            may_quote=True,
        )

    def _refuse(self, engine: str, why: str) -> None:
        if self._refused.get(engine) != why:
            say(f"ALERT engine:server {engine}: cannot be started: {why}")
        self._refused[engine] = why


class _Ready:
    """A check whether a server is ready; once it is, the terminal shows so."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self) -> bool:
        if (await get(HOST, self._server.port, "/health")).status != 200:
            return False
        done(f"engine ready: {self._server.engine}")
        return True
