"""Run a server that starts processes of its own, and end all of them together.

Usage: server_group.py COMMAND …

A script, not a module of the package: it costs little memory, and knows nothing of the platform.
The signals of a stop go to the whole group. The kernel sends SIGHUP when the supervisor dies
suddenly: then no process of the group may stay.
"""

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def main() -> None:
    signal.signal(signal.SIGHUP, _end_all)
    try:
        server = subprocess.Popen(sys.argv[1:], preexec_fn=_end_with_us)
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[1]}: {error.strerror}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _wait)
    _exit_like(server.wait())


def _end_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_all(_number: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


def _wait(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the server has the signal too."""


def _exit_like(code: int) -> None:
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
