"""CPU time and memory of process trees, read from /proc and grouped by what a process does."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1_000_000
ROLES = {
    "web": ("config.web_server",),
    "grpc": ("config.grpc_server",),
    "worker": ("celery", "-Q engine"),
    "jobs": ("celery", "-Q jobs"),
    "beat": ("celery", " beat"),
    "postgres": ("postgres",),
    "valkey": ("valkey-server",),
    "engine": ("llama_cpp_server",),
}


@dataclass(slots=True)
class Use:
    """CPU milliseconds since start, those of ended and awaited children too, and resident MB."""

    cpu_ms: float = 0.0
    rss_mb: float = 0.0
    processes: int = 0


@dataclass(slots=True)
class Process:
    pid: int
    parent: int
    cpu_ms: float
    rss_mb: float
    command: str


def all_processes() -> dict[int, Process]:
    processes = (read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {process.pid: process for process in processes if process is not None}


def read(pid: int) -> Process | None:
    """None when the process has ended meanwhile."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold blanks.
    fields = stat.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Process(
        pid=pid,
        parent=int(fields[1]),
        cpu_ms=ticks * 1000 / TICKS_PER_SECOND,
        rss_mb=int(fields[21]) * PAGE_MB,
        command=command.replace(b"\0", b" ").decode(errors="replace").strip(),
    )


def trees(roots: Iterable[int], processes: dict[int, Process]) -> list[Process]:
    """The processes of `roots` and all below them, parents before children."""
    children = defaultdict(list)
    for process in processes.values():
        children[process.parent].append(process)
    todo = [processes[pid] for pid in roots if pid in processes]
    members: dict[int, Process] = {}
    while todo:
        process = todo.pop()
        if process.pid not in members:
            members[process.pid] = process
            todo += children[process.pid]
    return list(members.values())


def role(command: str) -> str | None:
    for name, signs in ROLES.items():
        if all(sign in command for sign in signs):
            return name
    return None


def use_by_role(roots: Iterable[int], of: Callable[[str], str | None] = role) -> dict[str, Use]:
    """A process whose command tells nothing belongs to the role of its parent."""
    uses: dict[str, Use] = defaultdict(Use)
    roles: dict[int, str] = {}
    for process in trees(roots, all_processes()):
        name = of(process.command) or roles.get(process.parent, "supervisor")
        roles[process.pid] = name
        use = uses[name]
        use.cpu_ms += process.cpu_ms
        use.rss_mb += process.rss_mb
        use.processes += 1
    return dict(uses)
