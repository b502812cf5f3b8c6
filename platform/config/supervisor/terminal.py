"""Short lines for the person at the terminal."""

import sys
import time

_began = time.monotonic()


class RunProblem(Exception):
    """Ends the run. Its text is one line for a person and says what to do."""


def say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # the terminal or the reader of a pipe has gone; the platform runs on
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115


def seconds() -> str:
    return f"{time.monotonic() - _began:.1f} s"


def done(what: str) -> None:
    say(f"  {what} ({seconds()})")
