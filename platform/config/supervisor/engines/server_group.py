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

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def main() -> None:
    signal.signal(signal.SIGHUP, lambda _number, _frame: os.killpg(0, signal.SIGKILL))
    try:
        server = subprocess.Popen(
            sys.argv[1:], preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        )
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[1]}: {error.strerror}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)  # the server has the signal too
    code = server.wait()
    if code < 0:  # end as it did
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
