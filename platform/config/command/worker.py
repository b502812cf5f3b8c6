"""`forebay worker ENGINE`: one process. `forebay worker --all`: those of every engine of this host
(FOREBAY_ENGINES_HERE), which come and go with the engines, and the servers that Forebay starts.
"""

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from config import celery_arguments
from config.command.metrics_port import add_option, take
from config.command.process_replacement import become
from config.supervisor.options import MOST_PROCESSES
from inference import pools


def main(arguments: Sequence[str]) -> NoReturn:
    options = _parser().parse_args(arguments)
    if options.all:
        os.environ["FOREBAY_ROLES"] = "workers"
        become("config.supervisor")
    take(options, "worker", options.number, options.engine)
    become(*celery_arguments.worker(pools.queue(options.engine, options.number)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay worker", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("engine", nargs="?", metavar="ENGINE", type=_engine)
    which.add_argument("--all", action="store_true", help="the workers of all engines")
    parser.add_argument(
        "--number",
        type=_number,
        default=1,
        metavar="N",
        help="which one of FOREBAY_WORKERS_PER_ENGINE, from 1 on",
    )
    add_option(parser)
    return parser


def _engine(name: str) -> str:
    if problem := pools.name_problem(name):
        raise argparse.ArgumentTypeError(problem)
    return name


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"from 1 to {MOST_PROCESSES}, not {text!r}")
    return int(text)
