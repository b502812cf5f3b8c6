"""A watch over a running engine server: does it make progress, and stay within its memory?

Its health check says neither: llama.cpp answers it while it is stuck in one request's grammar.
"""

import os
import time
from pathlib import Path

from config.supervisor.child import Child
from config.supervisor.engines.launch_command import Server
from config.supervisor.http_probe import get
from inference import progress
from inference.launching import HOST
from inference.progress import STALL_S

GROWS_MB = 2048  # a llama.cpp takes all it needs before it is ready
ASK_WITHIN_S = 5.0
LOOKS = 3  # at least so many without progress: a single one may have been late itself


class ServerWatch:
    """The watch over one server from when it is ready. `server` may be replaced meanwhile."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.begin()

    def begin(self) -> None:
        """Start anew: the server has become ready."""
        self._moved_at, self._looks = time.monotonic(), 0
        self._done: float | None = None
        self._most_mb: int | None = None

    async def problem(self, child: Child) -> str:
        """Returns why the server has to be restarted; "" while all is well."""
        if grown := self._grown(memory_mb(child.pid)):
            return grown
        if await self._makes_progress():
            self._moved_at, self._looks = time.monotonic(), 0
            return ""
        self._looks += 1
        stalled = self._looks >= LOOKS and time.monotonic() - self._moved_at > self._stall_s
        return f"got nothing done for {self._stall_s:g} s" if stalled else ""

    @property
    def _stall_s(self) -> float:
        return float(self.server.fields.get("stall_s") or STALL_S)

    def _grown(self, now_mb: int) -> str:
        if self._most_mb is None:
            usual = now_mb + GROWS_MB if self.server.kind == "llama_cpp" else 0
            self._most_mb = self.server.launch.memory_mb or usual
        if 0 < self._most_mb < now_mb:
            return f"took {now_mb} MB of memory, over its limit of {self._most_mb}"
        return ""

    async def _makes_progress(self) -> bool:
        """Returns whether the server's own figures show progress, or nothing to do.

        A server without figures is taken to make progress, one that does not answer is not.
        """
        key = {"Authorization": f"Bearer {self.server.api_key}"}
        answer = await get(HOST, self.server.port, "/metrics", ASK_WITHIN_S, headers=key)
        if answer.status != 200:
            return answer.status != 0
        figures = progress.read(self.server.kind, answer.body)
        if figures is None:
            return True
        before, self._done = self._done, figures.done
        return not figures.busy or figures.done != before


def memory_mb(group: int) -> int:
    """Returns the memory of a group of processes that no file backs: mapped models do not count."""
    return sum(_anonymous_kb(pid) for pid in _processes(group)) // 1024


def _processes(group: int) -> list[int]:
    members = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.getpgid(int(name)) == group:
                    members.append(int(name))
            except OSError:  # it has ended
                continue
    return members


def _anonymous_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
