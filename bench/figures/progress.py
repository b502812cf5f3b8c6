"""Progress on the error output, so that tables alone go to the standard output."""

import signal
import sys


def tell(text: object) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def exit_on_sigterm() -> None:
    """Turn SIGTERM into an exit that stops the started servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
