"""Addresses and keys of the engines in FOREBAY_ENGINES with `launch`, before anything runs.

The other processes get no command, no argument and no variable of them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config.supervisor.engines.launch_command import Server
from config.supervisor.home import Home
from config.supervisor.ports import find_free, reserve
from config.supervisor.terminal import Problem
from inference import launching
from inference.pools import Entry, Fields, configured, entries

KEYS = "engines.key"  # in the home's secrets: the keys of all servers are derived from it
_SEALED = "sealed:"


def launched(
    engines: Mapping[str, Fields], home: Home
) -> tuple[Mapping[str, Fields], dict[str, Server]]:
    """Returns the engines with addresses and keys added, and the servers to start by engine.

    Raises Problem.
    """
    all_entries, servers = entries(engines), dict[str, Server]()
    if not any(entry.fields.get("launch") for entry in all_entries):
        return engines, servers
    shown_entries = []
    for entry in all_entries:
        if entry.fields.get("launch"):
            servers[entry.engine] = server = _server(entry, home)
            entry = replace(entry, fields=_shown_fields(server))
        shown_entries.append(entry)
    return configured(shown_entries), servers


def _server(entry: Entry, home: Home) -> Server:
    fields, kind = dict(entry.fields), str(entry.fields["kind"])
    try:
        launch = launching.read(kind, fields["launch"])
        port = launching.port_of(fields["url"]) if fields.get("url") else find_free()
    except ValueError as problem:
        raise Problem(f"FOREBAY_ENGINES: engine {entry.engine!r}: {problem}") from None
    if fields.get("url"):
        reserve(port)
    if str(key := fields.get("api_key", "")).startswith(_SEALED):
        raise Problem(f"FOREBAY_ENGINES: engine {entry.engine!r}: leave its api_key out")
    key = key or launching.api_key(home.password(KEYS).encode(), entry.engine)
    if kind == "vllm":
        fields.setdefault("priority_scheduling", True)
    return Server(entry.engine, kind, port, key, {"name": entry.model, **fields}, launch)


def _shown_fields(server: Server) -> dict[str, Any]:
    fields = {name: value for name, value in server.fields.items() if name != "name"}
    url = fields.get("url") or launching.url_of(server.kind, server.port)
    return {**fields, "url": url, "api_key": server.api_key, "launch": server.launch.shown}
