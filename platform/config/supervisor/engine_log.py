"""The filter of an engine's output: nothing that can quote a request goes into its log.

Engines print grammars, patterns and whole schemas that they cannot use, and errors with a client's
words in them, and no erasure reaches a log. While a server loads, it has no requests, and its
output is logged as it is. After that a line is logged if its form is known and holds no text of a
client; of other lines, their origin is logged, or nothing.
"""

import contextlib
import os
import re
import threading
from pathlib import Path

LONGEST_LINE = 16 * 1024  # bytes; what comes without a line break goes on as another line
LEFT_OUT = "(left out: it may quote a request)"
_READY = re.compile(r" listening on http://|Application startup complete\.")
# llama.cpp's: its own source, a condition, a device's error.
_KEPT = (
    re.compile(
        r"[\w./+-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|py):\d+: (?:GGML_ASSERT\(.*\) failed|\w+ error)"
    ),
    re.compile(r"(?:terminate called .*|Aborted|Segmentation fault|Killed)(?: \(core dumped\))?"),
    re.compile(r"[\w .-]+ listening on http://[\w.:-]+"),
    re.compile(r"[\d.]+ [A-Z] failed to parse grammar"),
    re.compile(r"[\d.]+ [A-Z] srv +\w+: failed to launch slot with task, id_task = \d+"),
    re.compile(r"[\d.]+ [A-Z] ggml_\w+: failed to allocate .{0,20} buffer of size \d+"),
    re.compile(r"cannot run [\w./-]+: [A-Za-z ]+"),
)
_STAMPED = re.compile(r"([\d.]+ [A-Z] (?:srv|slot|que|res|llama) +\w{1,20}:(?: task id = \d+,)?).*")
# Python's, as vLLM prints it, in any of its processes.
_PYTHON = re.compile(
    r"((?:\(\w+(?: pid=\d+)?\) )*(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d"
    r" \[[\w./]+:\d+\]) (.*)"
)
_UVICORN = re.compile(
    r"(?:\(\w+(?: pid=\d+)?\) )*INFO: +"
    r"(?:(?:Started|Waiting for|Application|Shutting down|Finished)[\w .\[\]]*|"
    r"[\d.:]+ - \"[A-Z]+ /[\w/]* HTTP/1\.1\" \d+ ?[A-Za-z ]*)"
)
_FIGURES = re.compile(r"Engine \d+: Avg [\w :/.,%()]*")
_FRAME = re.compile(
    r'Traceback \(most recent call last\):| +File "[\w./+-]+", line \d+, in [\w.<>]+'
)
_PROBLEM = re.compile(r"((?:[\w]+\.)*\w*(?:Error|Exception|Interrupt|Exit|Death))(?::.*)?")


def without_texts(line: str) -> str:
    """Returns what may be logged of a line of a server that has requests; "" for nothing."""
    if any(known.fullmatch(line) for known in (*_KEPT, _UVICORN)):
        return line
    if stamped := _STAMPED.fullmatch(line):
        return f"{stamped[1]} {LEFT_OUT}"
    if python := _PYTHON.fullmatch(line):
        return f"{python[1]} {_message(python[2]) or LEFT_OUT}"
    return _message(line)


def _message(text: str) -> str:
    if _FIGURES.fullmatch(text) or _FRAME.fullmatch(text):
        return text
    problem = _PROBLEM.fullmatch(text)
    return problem[1] if problem else ""


class EngineLog:
    """Copies a server's output from a pipe to the end of its log, in a thread of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ready = self._skips = False
        self._thread: threading.Thread | None = None

    def begin(self) -> int:
        """Returns the descriptor to which the next server writes. The caller closes it."""
        self._ready = self._skips = False
        reader, writer = os.pipe()
        self._thread = threading.Thread(target=self._copy, args=[reader], daemon=True)
        self._thread.start()
        return writer

    def server_is_ready(self) -> None:
        """Note that the server may have requests from now on."""
        self._ready = True

    def wait(self, patience: float) -> None:
        """Wait up to `patience` seconds until the output of a server that has ended is written."""
        if self._thread:
            self._thread.join(patience)

    def _copy(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as output:
            while line := output.readline(LONGEST_LINE):
                text = self._filtered(line.decode(errors="replace").rstrip("\r\n"))
                if text is not None:
                    self._write(text)

    def _write(self, text: str) -> None:
        """Add a line. What a full disk does not take is lost: the server must not wait or end."""
        with contextlib.suppress(OSError), self._file.open("ab") as log:
            log.write(text.encode(errors="replace") + b"\n")

    def _filtered(self, line: str) -> str | None:
        """Returns what to log for a line, or None. One line stands for a run of omitted ones."""
        if not self._ready:
            self._ready = _READY.search(line) is not None
            return line
        if text := without_texts(line):
            self._skips = False
            return text
        first, self._skips = not self._skips, bool(line.strip()) or self._skips
        return LEFT_OUT if first and line.strip() else None
