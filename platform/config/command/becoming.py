"""A subcommand that is a process: this one becomes it, with its id, streams and signals."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def become(*line: str) -> NoReturn:
    """`python -m` these words."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *line])  # noqa: S606


def nothing_else(arguments: Sequence[str]) -> None:
    if arguments:
        sys.exit(f"forebay: takes no {arguments[0]!r}: everything else is said by variables")
