"""The supervisor's end of the fork server (config/fork_server), and the processes that it forks.

Where it cannot fork, since it has not loaded yet or is gone, a process starts by itself.
"""

import ctypes
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from config.fork_server.request import ForkRequest
from infrastructure.descriptor_wait import readable

log = logging.getLogger(__name__)
COMMAND = (sys.executable, "-m", "config.fork_server", "-" * 400)  # the line has room for titles
VARIABLES = {"SPT_NOENV": "1"}  # a title leaves /proc/PID/environ as it is: own_processes.py
_ANSWER_S = 20.0  # also on a machine without a free processor
_libc = ctypes.CDLL(None)
_PR_SET_CHILD_SUBREAPER = 36


class ForkedProcess:
    """A child of this process that another one has forked, with what is used of a Popen."""

    returncode: int | None = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """Returns the exit code, or minus the number of the signal that ended it."""
        if self.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class ForkServer:
    _link: socket.socket | None = None
    _is_loaded = False

    def begin(self, start: Callable[[int], object]) -> None:
        """Let it load. `start` gets the socket to give it as its stdin."""
        self._link, theirs = socket.socketpair()
        with theirs:
            start(theirs.fileno())

    async def loaded(self) -> None:
        """Return when it can fork, or has ended."""
        if self._link and not self._is_loaded:
            await readable(self._link.fileno())
            with suppress(ConnectionResetError):
                self._is_loaded = self._is_loaded or bool(self._link.recv(1))

    def fork(self, request: ForkRequest, streams: Sequence[int]) -> ForkedProcess | None:
        """Returns the new process, which is our child; None if there is none.

        `streams` are descriptors for its stdin, stdout and stderr.
        """
        if not self._is_loaded:
            return None
        reader, writer = os.pipe()
        with closing(os.fdopen(reader, "rb")) as answer:
            # Only meanwhile: whom else a process leaves behind, the kernel's own reaper takes.
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                self._send(request, [writer, *streams])
            finally:
                os.close(writer)
            came, *_ = select.select([answer], [], [], _ANSWER_S)
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
            pid = answer.read() if came else b""
        if not pid:
            log.warning("the fork server does not answer: processes start by themselves")
            self.end()
            return None
        return ForkedProcess(int(pid))

    def _send(self, request: ForkRequest, descriptors: Sequence[int]) -> None:
        assert self._link
        file = request.write()
        try:
            socket.send_fds(self._link, [b"F"], [file, *descriptors])
        except OSError:  # it has ended: no answer says so too
            log.debug("the fork server has ended")
        finally:
            os.close(file)

    def end(self) -> None:
        """Let it end. Those that it has forked stay."""
        self._is_loaded = False
        if self._link:
            self._link.close()
            self._link = None
