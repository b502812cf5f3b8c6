"""`--metrics-from PORT`: a port for metrics of a process that systemd starts once for each name.

A unit file cannot count, and the name of an engine is no number.
"""

import argparse
import sys

from config import environment
from config.supervisor.home import Home
from config.supervisor.scrape_targets import take_own_port
from config.supervisor.terminal import Problem

MOST = 65_535


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics-from",
        type=_port,
        default=0,
        metavar="PORT",
        help="metrics at the first free port from there on, which FOREBAY_HOME/metrics lists",
    )


def take(arguments: argparse.Namespace, role: str, number: int, engine: str = "") -> None:
    """Set FOREBAY_METRICS_PORT if the option is there."""
    if not arguments.metrics_from:
        return
    process = ".".join(filter(None, (role, engine, "" if engine and number == 1 else str(number))))
    try:
        take_own_port(Home(environment.HOME), arguments.metrics_from, process, role, number)
    except (Problem, OSError) as problem:
        sys.exit(f"forebay: {problem}")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"from 1 to {MOST}, not {text!r}")
    return int(text)
