"""A program that runs the trainer in its own process group, and ends with whoever started it.

It reads commands from stdin: `stop` asks the trainer to pause. At the end of stdin, when the worker
has died, the whole group is killed. It imports nothing of Forebay.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

NICER = 10
SPARED_LAST = "800"  # of 1000: without memory the kernel ends the trainer before what serves


def main(command: list[str]) -> int:
    os.nice(NICER)
    with contextlib.suppress(OSError):  # not on each system
        Path("/proc/self/oom_score_adj").write_text(SPARED_LAST)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_obey, args=(process,), daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


def _obey(process: "subprocess.Popen[bytes]") -> None:
    for line in sys.stdin.buffer:
        if line == b"stop\n":
            process.terminate()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # the thread still waits at stdin
