"""The subcommands that are a process: it replaces this one, with its id and streams."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from config import celery_process, environment
from config.configuration.variables import unknown
from config.supervisor.home import Home
from config.supervisor.options import MOST_PROCESSES
from config.supervisor.scrape_targets import take_own_port
from config.supervisor.terminal import RunProblem
from inference import engine_entries

_LAST_PORT = 65_535


def become(*line: str) -> NoReturn:
    """Replace this process by `python -m` and these words.

    -P keeps Python from importing what lies in the working folder.
    """
    for name, suggestion in unknown(os.environ).items():
        hint = f"do you mean {suggestion}?" if suggestion else "`forebay check` says more"
        print(f"forebay: nobody reads {name}: {hint}", file=sys.stderr)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", *line])  # noqa: S606  # no shell: our own module


def run(arguments: Sequence[str]) -> NoReturn:
    _refuse_arguments(arguments)
    become("config.supervisor")


def servers(arguments: Sequence[str]) -> NoReturn:
    _refuse_arguments(arguments)
    become("config.supervisor", "--servers")


def web(arguments: Sequence[str]) -> NoReturn:
    options = _parser("web", None).parse_args(arguments)
    number = os.environ.get("FOREBAY_PROCESS_NUMBER", "")
    _take_metrics_port(options, "web", int(number) if number.isdecimal() else 1)
    _drain_long()
    become("config.web_server")


def grpc(arguments: Sequence[str]) -> NoReturn:
    _refuse_arguments(arguments)
    _drain_long()
    become("config.grpc_server")


def jobs(arguments: Sequence[str]) -> NoReturn:
    _refuse_arguments(arguments)
    become(*celery_process.jobs())


def beat(arguments: Sequence[str]) -> NoReturn:
    _refuse_arguments(arguments)
    (environment.HOME / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    become(*celery_process.beat())


def worker(arguments: Sequence[str]) -> NoReturn:
    """Become one worker of an engine; with `--all` those of every engine of this host
    (FOREBAY_ENGINES_HERE), which come and go with the engines, and the servers that Forebay starts.
    """
    parser = _parser("worker", worker.__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("engine", nargs="?", metavar="ENGINE", type=_engine)
    which.add_argument("--all", action="store_true", help="the workers of all engines")
    text = "which one of FOREBAY_WORKERS_PER_ENGINE, from 1 on"
    number = _number_to(MOST_PROCESSES)
    parser.add_argument("--number", type=number, default=1, metavar="N", help=text)
    options = parser.parse_args(arguments)
    if options.all:
        os.environ["FOREBAY_ROLES"] = "workers"
        become("config.supervisor")
    _take_metrics_port(options, "worker", options.number, options.engine)
    become(*celery_process.worker(engine_entries.queue(options.engine, options.number)))


def _refuse_arguments(arguments: Sequence[str]) -> None:
    if arguments:
        sys.exit(
            f"forebay: this subcommand takes no {arguments[0]!r}: set variables instead, "
            "`forebay check` lists what is missing"
        )


def _drain_long() -> None:
    """Let a process that nobody configured otherwise finish its longest request before it ends."""
    longest = environment.number("FOREBAY_REQUEST_DEADLINE_S", 600)
    os.environ.setdefault("FOREBAY_DRAIN_S", str(longest + 5))


def _parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with `--metrics-from`, for processes that systemd starts by their names.

    A unit file cannot count, and the name of an engine is no number.
    """
    parser = argparse.ArgumentParser(f"forebay {name}", description=description)
    text = "metrics at the first free port from there on, which FOREBAY_HOME/metrics lists"
    port = _number_to(_LAST_PORT)
    parser.add_argument("--metrics-from", type=port, default=0, metavar="PORT", help=text)
    return parser


def _take_metrics_port(
    options: argparse.Namespace, role: str, number: int, engine: str = ""
) -> None:
    """Set FOREBAY_METRICS_PORT if the option is there."""
    if not options.metrics_from:
        return
    process = ".".join(filter(None, (role, engine, "" if engine and number == 1 else str(number))))
    try:
        take_own_port(Home(environment.HOME), options.metrics_from, process, role, number)
    except (RunProblem, OSError) as problem:
        sys.exit(f"forebay: {problem}")


def _engine(name: str) -> str:
    if problem := engine_entries.name_problem(name):
        raise argparse.ArgumentTypeError(problem)
    return name


def _number_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"from 1 to {most}, not {text!r}")
        return int(text)

    return number
