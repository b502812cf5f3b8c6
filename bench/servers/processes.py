"""CPU time and memory of process trees, read from /proc and grouped by what a process does."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1_000_000
ROLES = {
    "web": ("config.web_server",),
    "grpc": ("config.grpc_server",),
    "worker": ("celery", "-n worker"),
    "jobs": ("celery", "-Q jobs"),
    "beat": ("celery", " beat"),
    "postgres": ("postgres",),
    "valkey": ("valkey-server",),
    "backup": ("config.backup",),
    "engine": ("llama_cpp_server",),
}


@dataclass(slots=True)
class Use:
    """CPU milliseconds since start, those of ended and awaited children too, and MB of memory.

    Forked processes share memory: each counts its part of a shared page (PSS, proc(5)).
    """

    cpu_ms: float = 0.0
    memory_mb: float = 0.0


@dataclass(slots=True)
class Process:
    pid: int
    parent: int
    cpu_ms: float
    rss_mb: float
    command: str


def all_processes() -> dict[int, Process]:
    processes = (_read(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {process.pid: process for process in processes if process is not None}


def _read(folder: Path) -> Process | None:
    try:
        stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
    except OSError:
        return None  # it has ended meanwhile
    # The name in parentheses may hold blanks.
    fields = stat.rpartition(")")[2].split()
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        cpu_ms=sum(map(int, fields[11:15])) * 1000 / TICKS_PER_SECOND,
        rss_mb=int(fields[21]) * PAGE_MB,
        command=command.replace(b"\0", b" ").decode(errors="replace").strip(),
    )


def tree(root: int) -> list[Process]:
    """The process `root` and all below it, parents before children."""
    processes = all_processes()
    children = defaultdict(list)
    for process in processes.values():
        children[process.parent].append(process)
    members = [processes[root]] if root in processes else []
    for member in members:  # grows meanwhile
        members += children[member.pid]
    return members


def role(command: str) -> str | None:
    for name, signs in ROLES.items():
        if all(sign in command for sign in signs):
            return name
    return None


def memory_mb(process: Process) -> float:
    """Returns its own megabytes and its part of those that it shares."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile, or is another user's
        return process.rss_mb
    kilobytes = next(line.split()[1] for line in lines if line.startswith("Pss:"))
    return int(kilobytes) * 1024 / 1_000_000


def by_role(root: int, of: Callable[[str], str | None] = role) -> dict[str, list[Process]]:
    """A process whose command tells nothing belongs to the role of its parent."""
    members: dict[str, list[Process]] = defaultdict(list)
    roles: dict[int, str] = {}
    for process in tree(root):
        name = of(process.command) or roles.get(process.parent, "supervisor")
        roles[process.pid] = name
        members[name].append(process)
    return dict(members)


def use_by_role(root: int, of: Callable[[str], str | None] = role) -> dict[str, Use]:
    return {
        name: Use(sum(one.cpu_ms for one in members), sum(map(memory_mb, members)))
        for name, members in by_role(root, of).items()
    }


def cpu_ms_since(before: Mapping[str, Use], now: Mapping[str, Use]) -> dict[str, float]:
    """CPU milliseconds between two looks, by role."""
    return {
        name: use.cpu_ms - (before[name].cpu_ms if name in before else 0.0)
        for name, use in now.items()
    }
