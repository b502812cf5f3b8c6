"""The command line of `forebay`: the configuration file, a subcommand and its arguments.

A subcommand is the function of its name in a module, which is imported when it runs: none delays
another's start.
"""

import importlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

from config.command import typed

_USAGE = 2  # argparse's exit code


class Subcommand(NamedTuple):
    module: str
    does: str
    takes: str = ""


_HERE = "config.command"
_PROCESSES, _REGISTRY = f"{_HERE}.processes", f"{_HERE}.operating.registry"
_OPERATING = "of a running platform, with an operator key"
SUBCOMMANDS = {
    "run": Subcommand(_PROCESSES, "the whole platform, with what you have no server for"),
    "check": Subcommand(f"{_HERE}.check", "what is missing, before it starts", "[--json]"),
    "web": Subcommand(_PROCESSES, "one web process: console, chat, /v1, /api/v1"),
    "grpc": Subcommand(_PROCESSES, "the gRPC server"),
    "worker": Subcommand(
        _PROCESSES, "one worker of an engine, or all workers of this host", "ENGINE | --all"
    ),
    "jobs": Subcommand(
        f"{_HERE}.operating.jobs",
        "sweeper, seals, exports, nightly checks; with a command, jobs of a tenant",
        "[COMMAND …]",
    ),
    "trainer": Subcommand(
        f"{_HERE}.trainer", "the environment of what trains: install, check", "COMMAND"
    ),
    "beat": Subcommand(_PROCESSES, "what sends the jobs; of several one sends"),
    "migrate": Subcommand(
        f"{_HERE}.management_commands", "makes or changes the tables, once for each version"
    ),
    "certificates": Subcommand(
        f"{_HERE}.certificates", "an authority of your own, and what it signs", "COMMAND …"
    ),
    "manage": Subcommand(
        f"{_HERE}.management_commands", "a management command, `help` lists them", "COMMAND …"
    ),
    "models": Subcommand(_REGISTRY, f"models {_OPERATING}", "COMMAND …"),
    "pools": Subcommand(_REGISTRY, f"pools {_OPERATING}", "COMMAND …"),
    "engines": Subcommand(_REGISTRY, f"engines {_OPERATING}", "COMMAND …"),
    "prices": Subcommand(f"{_HERE}.operating.prices", f"prices {_OPERATING}", "COMMAND …"),
    "limits": Subcommand(
        f"{_HERE}.operating.limits", f"limits of tenants and tiers {_OPERATING}", "COMMAND …"
    ),
    "aliases": Subcommand(
        f"{_HERE}.operating.aliases", f"names of tenants for models {_OPERATING}", "COMMAND …"
    ),
    "people": Subcommand(
        f"{_HERE}.operating.people", f"people who are no members {_OPERATING}", "COMMAND …"
    ),
    "policies": Subcommand(
        f"{_HERE}.operating.policies", f"decision policies of tenants {_OPERATING}", "COMMAND …"
    ),
    "adapters": Subcommand(
        f"{_HERE}.operating.adapters", f"adapters of tenants {_OPERATING}", "COMMAND …"
    ),
    "evaluate": Subcommand(
        f"{_HERE}.evaluate", "a model by a file of tasks, with a tenant's key", "MODEL …"
    ),
    "demo": Subcommand(f"{_HERE}.demo", "a scenario on a platform that runs", "fraud|service"),
    "tree": Subcommand(
        f"{_HERE}.tree", "a boosted tree for a decision policy, of labelled rows", "FILE …"
    ),
    "data-sets": Subcommand(
        f"{_HERE}.data_sets", "data sets of a tenant, with its key", "COMMAND …"
    ),
    "knowledge": Subcommand(
        f"{_HERE}.knowledge", "knowledge bases of a tenant, with its key", "COMMAND …"
    ),
    "servers": Subcommand(_PROCESSES, "the embedded PostgreSQL and Valkey alone, for a restore"),
    "postgres": Subcommand(
        f"{_HERE}.postgres", "pg_dump and the like, of the embedded PostgreSQL", "PROGRAM …"
    ),
    "backup": Subcommand(f"{_HERE}.backup", "backups: status, list, now, verify, kit", "COMMAND …"),
    "restore": Subcommand(f"{_HERE}.restore", "puts a backup back, to its end or to a moment"),
    "energy": Subcommand(f"{_HERE}.energy", "clocks of GPUs: agent, governor, sweep", "COMMAND …"),
    "drill": Subcommand(
        f"{_HERE}.drill", "failures, staged and undone: plan, run, status, undo", "COMMAND …"
    ),
    "healthy": Subcommand(f"{_HERE}.healthy", "is it? for the health check of a container"),
    "version": Subcommand(f"{_HERE}.command_line", "which version this is"),
}


def main() -> None:
    """Run the subcommand that was typed: the entry point of the installed script."""
    if problem := typed.problem(sys.argv[1:]):
        _refuse(problem)
    rest = _after_options(sys.argv[1:])
    if not rest or rest[0] in ("-h", "--help", "help"):
        lines = [f"  {f'{name} {each.takes}':<24}{each.does}" for name, each in SUBCOMMANDS.items()]
        print("usage: forebay [--config FILE] SUBCOMMAND", "", *lines, "", sep="\n")
        print("FOREBAY_CONFIG=FILE is the same as --config FILE.")
        sys.exit(0 if rest else _USAGE)
    name, *arguments = rest
    if name not in SUBCOMMANDS:
        near = get_close_matches(name, SUBCOMMANDS, 1)
        hint = f" (do you mean {near[0]!r}?)" if near else ""
        _refuse(f"there is no {name!r}{hint}; `forebay help` lists what there is")
    sys.exit(subcommand(name)(arguments))


def subcommand(name: str) -> Callable[[Sequence[str]], int | None]:
    run: Callable[[Sequence[str]], int | None]
    run = getattr(importlib.import_module(SUBCOMMANDS[name].module), name.replace("-", "_"))
    return run


def version(arguments: Sequence[str]) -> None:
    from infrastructure import release

    if arguments:
        sys.exit(f"forebay: version takes no {arguments[0]!r}")
    print(f"forebay {release.VERSION}, Python {platform.python_version()}")


def _after_options(words: Sequence[str]) -> Sequence[str]:
    """Apply `--config FILE`, which is the same as FOREBAY_CONFIG, and return the rest."""
    while words and words[0].startswith("--config"):
        option, equals, file = words[0].partition("=")
        if option != "--config" or not (equals or words[1:]):
            _refuse("--config takes the path of a file")
        os.environ["FOREBAY_CONFIG"] = os.path.abspath(file if equals else words[1])
        words = words[1 if equals else 2 :]
    return ["version", *words[1:]] if words and words[0] == "--version" else words


def _refuse(why: str) -> NoReturn:
    print(f"forebay: {why}", file=sys.stderr)
    sys.exit(_USAGE)
