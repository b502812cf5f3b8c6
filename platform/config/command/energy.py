"""`forebay energy COMMAND`: the agent that locks clocks, the governor, and the sweep."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from config.energy.agent import Clocks, Server, serve
from config.energy.bounds import BadBounds, Bounds, read
from config.energy.client import SOCKET
from config.energy.driver import Driver
from config.energy.guardian import guard

BOUNDS = Path("/etc/forebay/energy.toml")


def energy(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("forebay energy")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    agent = commands.add_parser("agent", help="locks and resets clocks of GPUs; needs root")
    agent.add_argument("--bounds", type=Path, default=BOUNDS, metavar="FILE")
    agent.add_argument("--socket", type=Path, default=SOCKET, metavar="PATH")
    agent.add_argument("--reset", action="store_true", help="reset all clocks, and end")
    options = parser.parse_args(arguments)
    return _agent(options)


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
