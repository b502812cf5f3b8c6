"""The supervisor's end of the fork server (config/fork_server), and the processes that it forks.

Where it cannot fork, since it has not loaded yet or is gone, a process starts by itself.
"""

import asyncio
import ctypes
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from config.fork_server.request import ForkRequest
from infrastructure.descriptor_wait import readable

log = logging.getLogger(__name__)
COMMAND = (sys.executable, "-m", "config.fork_server", "-" * 400)  # the line has room for titles
VARIABLES = {"SPT_NOENV": "1"}  # a title leaves /proc/PID/environ as it is: own_processes.py
_LOADING_S = 60.0
_ANSWER_S = 8.0  # it may load meanwhile, on a machine without a free processor
_PID = 32  # bytes at most
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
    _loading: asyncio.Future[bool] | None = None
    _is_loaded = False

    def begin(self, start: Callable[[int], object]) -> None:
        """Let it load. `start` gets the socket to give it as its stdin."""
        self._link, theirs = socket.socketpair()
        self._loading = None
        with theirs:
            start(theirs.fileno())

    async def loaded(self) -> bool:
        """Wait until it has loaded. Returns whether it has: it may have ended, or hang."""
        if self._link and not self._loading:
            self._loading = asyncio.ensure_future(self._load(self._link))
        return bool(self._loading and await asyncio.shield(self._loading))

    async def _load(self, link: socket.socket) -> bool:
        until = asyncio.get_running_loop().time() + _LOADING_S
        if await readable(link.fileno(), until):
            with suppress(ConnectionResetError):
                self._is_loaded = bool(link.recv(1))
        return self._is_loaded

    def fork(self, request: ForkRequest, streams: Sequence[int]) -> ForkedProcess | None:
        """Returns the new process, which is our child; None if there is none.

        `streams` are descriptors for its stdin, stdout and stderr.
        """
        if not self._is_loaded:
            return None
        reader, writer = os.pipe()
        # Only meanwhile: whom else a process leaves behind, the kernel's own reaper takes.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        try:
            try:
                self._send(request, [writer, *streams])
            finally:
                os.close(writer)
            pid = os.read(reader, _PID) if _readable_soon(reader) else None
        except OSError:  # it has ended
            pid = None
        finally:
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
            os.close(reader)
        if pid is None:
            log.warning("the fork server does not answer: processes start by themselves")
            self.end()
        return ForkedProcess(int(pid)) if pid else None

    def _send(self, request: ForkRequest, descriptors: Sequence[int]) -> None:
        assert self._link
        file = request.write()
        try:
            socket.send_fds(self._link, [b"F"], [file, *descriptors])
        finally:
            os.close(file)

    def end(self) -> None:
        """Let it end. Those that it has forked stay."""
        self._is_loaded = False
        if self._link:
            self._link.close()
            self._link = None


def _readable_soon(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(_ANSWER_S * 1000))
