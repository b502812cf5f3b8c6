"""Kills processes of ours that send no heartbeat; the keeper restarts them.

Each sends WATCHDOG=1 to a datagram socket, as it would to systemd (config/process_heartbeat.py).
Its silence is counted in the supervisor's own looks: time in which the supervisor did not run
either (a machine that sleeps, a box without a free processor) counts for no more than a look, and
time in which the process waited for a processor does not count at all.
"""

import asyncio
import contextlib
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from config import environment
from config.supervisor.child import Child
from config.supervisor.terminal import say

LIMIT_S = 30
START_FACTOR = 10  # limits until a first sign: a start loads everything, and may wait for a server
LOOK_S = 1.0
_WORD = b"WATCHDOG=1"
_CREDENTIALS = struct.Struct("iii")  # pid, uid, gid (unix(7))


class Silence:
    """The time since the last heartbeat in one life of a child."""

    def __init__(self, pid: int, limit_s: float) -> None:
        self.pid, self._limit_s = pid, limit_s
        self._is_up = False
        self._seconds = 0.0
        self._waited = waited_for_processor(pid)

    def reset(self) -> None:
        """Note a heartbeat."""
        self._is_up, self._seconds = True, 0.0

    def is_too_long(self, look_s: float) -> bool:
        """Add the seconds since the last look, and return whether the silence exceeds its limit."""
        waited = waited_for_processor(self.pid)
        self._seconds += max(0.0, look_s - max(0.0, waited - self._waited))
        self._waited = waited
        return self._seconds > self._limit_s * (1 if self._is_up else START_FACTOR)


class Watchdog:
    def __init__(self, run_id: str) -> None:
        self._limit_s = float(environment.number("FOREBAY_WATCHDOG_S", LIMIT_S))
        # An abstract socket: its name is short whatever the folder's is, and no file remains.
        self._name = f"forebay-{run_id}"
        self._silences: dict[Child, Silence] = {}

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of a process that is to be watched."""
        if not self._limit_s:
            return {}
        micros = str(int(self._limit_s * 1_000_000))
        return {"NOTIFY_SOCKET": f"@{self._name}", "WATCHDOG_USEC": micros}

    async def watch(self, children: Callable[[], Iterable[Child]]) -> None:
        """Watch the children that run at each look. Returns at once if the watchdog is off."""
        if not self._limit_s:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ear.bind(f"\0{self._name}")
            looked_at = time.monotonic()
            while True:
                await asyncio.sleep(LOOK_S)
                self._receive(ear)  # first the signs that came while we did not run
                now = time.monotonic()
                self._look(children(), min(now - looked_at, 2 * LOOK_S))
                looked_at = now

    def _look(self, children: Iterable[Child], look_s: float) -> None:
        living = [child for child in children if child.running]
        before, self._silences = self._silences, {}
        for child in living:
            silence = before.get(child)
            if silence is None or silence.pid != child.pid:  # a new life
                silence = Silence(child.pid, self._limit_s)
            self._silences[child] = silence
            if silence.is_too_long(look_s):
                say(f"ALERT process:stalled {child.name}: no heartbeat, it is started anew")
                child.send(signal.SIGKILL)

    def _receive(self, ear: socket.socket) -> None:
        by_pid = {silence.pid: silence for silence in self._silences.values()}
        with contextlib.suppress(BlockingIOError):
            while True:
                word, extras, *_ = ear.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
                for _, kind, data in extras:  # the kernel puts the sender's credentials there
                    if word == _WORD and kind == socket.SCM_CREDENTIALS:
                        pid, _, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
                        if silence := by_pid.get(pid):
                            silence.reset()


def waited_for_processor(pid: int) -> float:
    """Returns the seconds for which its main thread could have run, and others did."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, LookupError, ValueError):  # it has ended, or this kernel does not count
        return 0.0
