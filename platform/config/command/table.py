"""Every subcommand of `forebay`: its effect, and the module whose `main(arguments)` runs it.

A module is imported when its subcommand runs: none delays another's start.
"""

from typing import NamedTuple


class Subcommand(NamedTuple):
    module: str
    does: str
    takes: str = ""


_HERE = "config.command"


def _operating(name: str, what: str) -> Subcommand:
    does = f"{what} of a running platform, with an operator key"
    return Subcommand(f"{_HERE}.operating.{name}", does, "COMMAND …")


SUBCOMMANDS = {
    "run": Subcommand(f"{_HERE}.run", "the whole platform, with what you have no server for"),
    "check": Subcommand(f"{_HERE}.check", "what is missing, before it starts", "[--json]"),
    "web": Subcommand(f"{_HERE}.web", "one web process: console, chat, /v1, /api/v1"),
    "grpc": Subcommand(f"{_HERE}.grpc", "the gRPC server"),
    "worker": Subcommand(
        f"{_HERE}.worker", "one worker of an engine, or all workers of this host", "ENGINE | --all"
    ),
    "jobs": Subcommand(f"{_HERE}.jobs", "sweeper, seals, exports, nightly checks"),
    "beat": Subcommand(f"{_HERE}.beat", "what sends the jobs; of several one sends"),
    "migrate": Subcommand(f"{_HERE}.migrate", "makes or changes the tables, once for each version"),
    "certificates": Subcommand(
        f"{_HERE}.certificates", "an authority of your own, and what it signs", "COMMAND …"
    ),
    "manage": Subcommand(f"{_HERE}.manage", "a management command, `help` lists them", "COMMAND …"),
    "models": _operating("models", "models"),
    "pools": _operating("pools", "pools"),
    "engines": _operating("engines", "engines"),
    "prices": _operating("prices", "prices"),
    "limits": _operating("limits", "limits of tenants and tiers"),
    "servers": Subcommand(
        f"{_HERE}.servers", "the embedded PostgreSQL and Valkey alone, for a restore"
    ),
    "postgres": Subcommand(
        f"{_HERE}.postgres", "pg_dump and the like, of the embedded PostgreSQL", "PROGRAM …"
    ),
    "healthy": Subcommand(f"{_HERE}.healthy", "is it? for the health check of a container"),
    "version": Subcommand(f"{_HERE}.version", "which version this is"),
}
