"""The start of a subcommand that is a process: it replaces this one, with its id and streams."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from config import environment
from config.configuration.variables import unknown


def become(*line: str) -> NoReturn:
    """Replace this process by `python -m` and these words.

    -P keeps Python from importing what lies in the working folder.
    """
    for name, suggestion in unknown(os.environ).items():
        hint = f"do you mean {suggestion}?" if suggestion else "`forebay check` says more"
        print(f"forebay: nobody reads {name}: {hint}", file=sys.stderr)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", *line])  # noqa: S606  # no shell: our own module


def refuse_arguments(arguments: Sequence[str]) -> None:
    if arguments:
        sys.exit(f"forebay: takes no {arguments[0]!r}: everything else is said by variables")


def drain_long() -> None:
    """Let a process that nobody configured otherwise finish its longest request before it ends."""
    longest = environment.number("FOREBAY_REQUEST_DEADLINE_S", 600)
    os.environ.setdefault("FOREBAY_DRAIN_S", str(longest + 5))
