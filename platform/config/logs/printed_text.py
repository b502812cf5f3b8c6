"""Records of printed text, for JSON logs: a library's banner, the last words of a process.

Only servers capture it: a command's printed answer stays as it is.
"""

import logging
import os
import sys
import threading
from typing import TextIO, cast

from config.logs.formatting import NAME, PRINTED, AsJson, is_a_server

OURS = '{"time":"'  # the beginning of a line that is a record already
_format = AsJson().format


class Records:
    """A stream of text that writes each line as a record."""

    def __init__(self, stream: TextIO, name: str, level: int) -> None:
        self._stream, self._name, self._level = stream, name, level
        self._rest, self._lock = "", threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            records = "".join(f"{self._line(line)}\n" for line in lines if line.strip())
            if records:
                self._stream.write(records)
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the stream. A line that has not ended waits for its end."""
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> object:
        if name == "fileno":  # otherwise a library could write past us
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _line(self, line: str) -> str:
        if line.startswith(OURS):
            return line
        return _format(logging.LogRecord(self._name, self._level, "", 0, line.strip(), None, None))


def begin() -> None:
    """Capture the output of a process that serves, from now on."""
    if not is_a_server() or isinstance(sys.stderr, Records):
        return
    if _is_the_log():
        out = cast("TextIO", Records(sys.stdout, PRINTED[0], logging.INFO))
        sys.stdout = sys.__stdout__ = out  # type: ignore[assignment, misc]  # written to like a file
    errors = cast("TextIO", Records(sys.stderr, PRINTED[1], logging.ERROR))
    sys.stderr = sys.__stderr__ = errors  # type: ignore[assignment, misc]  # the same
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to the file itself
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda *problem: _say("the process broke off", problem)
    threading.excepthook = _thread_broke_off


def end() -> None:
    """Give the streams back, in a fork that has others."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Records):
            setattr(sys, name, stream._stream)
            setattr(sys, f"__{name}__", stream._stream)
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__


def _is_the_log() -> bool:
    """Returns whether stdout is a log too. A command's answer does not go where stderr goes."""
    try:
        one, other = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.path.samestat(one, other) or not os.environ.get(NAME)


def _thread_broke_off(broke: threading.ExceptHookArgs) -> None:
    if broke.exc_type is SystemExit:
        return
    problem = broke.exc_value or broke.exc_type()
    name = broke.thread.name if broke.thread else "unknown"
    _say(f"thread {name} broke off", (broke.exc_type, problem, broke.exc_traceback))


def _say(text: str, problem: object) -> None:
    """Write a record without `logging`, which may not be set up yet."""
    record = logging.LogRecord("python", logging.CRITICAL, "", 0, text, None, problem)  # type: ignore[arg-type]  # its own exc_info
    sys.stderr.write(f"{_format(record)}\n")
