"""`forebay energy COMMAND`: the agent that locks clocks, the governor, and the sweep."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from config.command.processes import become
from config.energy.agent import Clocks, Server, serve
from config.energy.bounds import BadBounds, Bounds, read
from config.energy.client import SOCKET
from config.energy.guardian import guard
from infrastructure.gpu_driver import Driver

_WITH_DATABASE = ("governor", "sweep")
BOUNDS = Path("/etc/forebay/energy.toml")


def energy(arguments: Sequence[str]) -> int:
    name, *rest = [*arguments, ""]
    if name in _WITH_DATABASE:
        become("config.energy", name, *rest[:-1])
    parser = argparse.ArgumentParser("forebay energy")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    agent = commands.add_parser("agent", help="locks and resets clocks of GPUs; needs root")
    agent.add_argument("--bounds", type=Path, default=BOUNDS, metavar="FILE")
    agent.add_argument("--socket", type=Path, default=SOCKET, metavar="PATH")
    agent.add_argument("--reset", action="store_true", help="reset all clocks, and end")
    commands.add_parser("governor", help="governs the clocks of this host's GPUs by load")
    commands.add_parser("sweep", help="measures an engine at each clock")
    return _agent(parser.parse_args(arguments))


def _agent(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        bounds = read(options.bounds, owner=os.geteuid())
    except BadBounds as problem:
        print(f"forebay energy agent: {problem}", file=sys.stderr)
        return 2

    def reset(reason: str = "the agent has ended") -> bool:
        return Clocks(bounds, Driver()).reset_all(reason)

    if options.reset:
        return 0 if reset("it was asked for") else 1
    return guard(_agent_at(options.socket, bounds), reset)


def _agent_at(path: Path, bounds: Bounds) -> Callable[[Callable[[], bool]], None]:
    def run(goes_on: Callable[[], bool]) -> None:
        logging.info("energy agent at %s, dry run: %s", path, bounds.dry_run)
        serve(Clocks(bounds, Driver()), Server(path, bounds.users), goes_on)

    return run
