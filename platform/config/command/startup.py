"""A subcommand that is a process: this one becomes it, with its id, streams and signals."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from config import environment
from config.configuration.variables import unknown


def become(*line: str) -> NoReturn:
    """`python -m` these words. What lies in the working folder is not for us to import (-P)."""
    for name, meant in unknown(os.environ).items():
        hint = f"do you mean {meant}?" if meant else "`forebay check` says more"
        print(f"forebay: nobody reads {name}: {hint}", file=sys.stderr)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", *line])  # noqa: S606  # no shell: our own module


def nothing_else(arguments: Sequence[str]) -> None:
    if arguments:
        sys.exit(f"forebay: takes no {arguments[0]!r}: everything else is said by variables")


def drain_well() -> None:
    """By itself a process may take all the time that its longest request has."""
    longest = environment.number("FOREBAY_REQUEST_DEADLINE_S", 600)
    os.environ.setdefault("FOREBAY_DRAIN_S", str(longest + 5))
