"""The servers of engines with `launch`: they are started and stopped as the registry changes.

FOREBAY_ENGINES alone, as this process has read it, names the commands that run. From PostgreSQL
comes no more than the name of a model file, which has to lie in a folder of FOREBAY_MODELS.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from config.supervisor.child import Child, Stage
from config.supervisor.engines.launch_command import EngineServer, server_child
from config.supervisor.engines.server_life import ServerLife, ServerWatch, free_gpu
from config.supervisor.home import Home
from config.supervisor.keeper import PATIENCE, Keeper
from config.supervisor.ports import find_free, reserve
from config.supervisor.terminal import RunProblem, done, say
from inference import engine_launch
from inference.engine_entries import EngineEntry, Fields, configured, entries
from inference.engine_launch import Launch

KEYS = "engines.key"  # in the home's secrets: the keys of all servers are derived from it
_SEALED = "sealed:"


def launched(
    engines: Mapping[str, Fields], home: Home
) -> tuple[Mapping[str, Fields], dict[str, EngineServer]]:
    """Returns FOREBAY_ENGINES with addresses and keys added, and the servers to start by engine.

    The other processes get no command, no argument and no variable of them. Raises RunProblem.
    """
    all_entries, servers = entries(engines), dict[str, EngineServer]()
    if not any(entry.fields.get("launch") for entry in all_entries):
        return engines, servers
    shown_entries = []
    for entry in all_entries:
        if entry.fields.get("launch"):
            servers[entry.engine] = server = _server(entry, home)
            fields = {name: value for name, value in server.fields.items() if name != "name"}
            fields["url"] = fields.get("url") or engine_launch.url_of(server.kind, server.port)
            fields |= {"api_key": server.api_key, "launch": server.launch.shown}
            if server.launch.gpus:
                fields.setdefault("gpus", server.launch.gpus)
            entry = replace(entry, fields=fields)
        shown_entries.append(entry)
    return configured(shown_entries), servers


def _server(entry: EngineEntry, home: Home) -> EngineServer:
    fields, kind = dict(entry.fields), str(entry.fields["kind"])
    try:
        launch = engine_launch.read(kind, fields["launch"])
        url = fields.get("url")
        port = reserve(engine_launch.port_of(url)) if url else find_free()
    except ValueError as problem:
        raise RunProblem(f"FOREBAY_ENGINES: engine {entry.engine!r}: {problem}") from None
    if str(key := fields.get("api_key", "")).startswith(_SEALED):
        raise RunProblem(f"FOREBAY_ENGINES: engine {entry.engine!r}: leave its api_key out")
    key = key or engine_launch.api_key(home.password(KEYS).encode(), entry.engine)
    if kind == "vllm":
        fields.setdefault("priority_scheduling", True)
    return EngineServer(entry.engine, kind, port, key, {"name": entry.model, **fields}, launch)


class EngineRow(NamedTuple):
    """An engine in PostgreSQL."""

    name: str
    kind: str
    slots: int
    url: str
    options: Mapping[str, Any]
    from_file: bool
    model: str
    seat: str = ""  # inference/engine_entries.py
    stopped: bool = False  # it rests without its server (inference/energy/resting.py)
    is_lent: bool = False  # jobs wait until its server has left the GPU (inference/lending)


class Launches:
    """The running servers.

    `url` is PostgreSQL's; `folders` have the models that operators may launch.
    """

    def __init__(
        self,
        home: Home,
        keeper: Keeper,
        url: str,
        from_file: Mapping[str, EngineServer],
        folders: Sequence[Path],
    ) -> None:
        self._home, self._keeper, self._url = home, keeper, url
        self._from_file, self._folders = from_file, folders
        self._secret = home.password(KEYS).encode()
        self._running: dict[str, tuple[EngineServer, Child]] = {}
        self._watches: dict[str, ServerWatch] = {}
        self._refused: dict[str, str] = {}

    async def look(self, rows: Sequence[EngineRow]) -> None:
        """Start servers of new engines, and restart those whose command has changed."""
        for row in rows:
            try:
                await self._follow(row)
                self._refused.pop(row.name, None)
            except (RunProblem, ValueError, OSError) as problem:
                if self._refused.get(row.name) != str(problem):
                    say(f"ALERT engine:server {row.name}: cannot be started: {problem}")
                self._refused[row.name] = str(problem)

    def forget_others(self, known: Collection[str]) -> list[tuple[EngineServer, Child]]:
        """Forget the servers of removed engines, and return them, to stop after their workers."""
        return [self._running.pop(name) for name in self._running.keys() - set(known)]

    async def _follow(self, row: EngineRow) -> None:
        wanted, running = self._wanted(row), self._running.get(row.name)
        if running and wanted and running[0].runs == wanted.runs:
            self._watches[row.name].server = wanted
            return
        if running:
            del self._running[row.name]
            reason = "its engine rests" if row.stopped else "its engine was changed"
            say(f"{running[1].name} ends: {reason}")
            await self._keeper.retire(running[1], PATIENCE[Stage.SERVER])
        if wanted:
            await self._start(wanted)
        elif row.is_lent and self._is_ours(row):
            await free_gpu(self._url, row.name)

    def _wanted(self, row: EngineRow) -> EngineServer | None:
        """Returns the server that an engine should have, None for none. Raises ValueError."""
        if row.stopped:
            return None
        if row.from_file:
            return self._from_file.get(row.name)
        if not (launch_options := row.options.get("launch")):
            return None
        if row.kind != "llama_cpp":
            raise ValueError("FOREBAY_ENGINES alone can say that a command is run")
        if (file := self._file(str(launch_options["model"]))) is None:
            return None  # its replacement's driver makes the copy, and touches the row then
        launch = Launch(str(file))
        key = engine_launch.api_key(self._secret, row.name)
        fields = {"name": row.model, "slots": row.slots, **row.options}
        return EngineServer(row.name, row.kind, engine_launch.port_of(row.url), key, fields, launch)

    def _is_ours(self, row: EngineRow) -> bool:
        return row.name in self._from_file or (not row.from_file and "launch" in row.options)

    def _file(self, model: str) -> Path | None:
        """Returns the file; None for a copy that is still to come. Raises ValueError."""
        if engine_launch.is_of_registry(model):
            return engine_launch.registry_file(self._home.model_copies, model)
        return engine_launch.model_file(self._folders, model)

    async def _start(self, server: EngineServer) -> None:
        """Start a server and record the engine as starting. Raises RunProblem, OSError."""

        async def is_ready() -> bool:
            if not await server.answers():
                return False
            done(f"engine ready: {server.engine}")
            return True

        child = server_child(server, self._keeper, self._home)
        self._watches[server.engine] = watch = ServerWatch(server)
        life = ServerLife(server.engine, self._url, is_ready, server.launch.start_within_s, watch)
        await life.record_start()
        self._keeper.keep(child, life)
        self._running[server.engine] = server, child
        say(f"{child.name} is starting, at port {server.port}")
