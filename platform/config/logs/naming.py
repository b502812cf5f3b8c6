"""The name of a process in its log lines."""

import os
import sys
from functools import cache
from pathlib import Path

NAME = "FOREBAY_PROCESS_NAME"  # the supervisor sets it
SERVERS = ("web", "grpc", "worker", "jobs", "beat", "supervisor", "run")


@cache
def process_name() -> str:
    return os.environ.get(NAME) or started_as(sys.argv)


def is_a_server() -> bool:
    """Returns whether all that it prints is log. A command prints its answer."""
    return bool(os.environ.get(NAME)) or started_as(sys.argv) in SERVERS


def started_as(command: list[str]) -> str:
    """Returns a process's role from its command line.

    `python -m config.web_server` is web, `celery … worker -Q jobs` is jobs, and `manage.py migrate`
    is migrate.
    """
    program, *words = command or [""]
    stem = Path(program).stem
    if "celery" in program:
        role = next((word for word in words if word in ("worker", "beat")), "celery")
        return "jobs" if role == "worker" and "jobs" in words else role
    if stem in ("manage", "forebay", "forebay manage"):
        return next((word for word in words if not word.startswith("-")), stem)
    if stem == "__main__":
        stem = Path(program).parent.name
    return stem.removesuffix("_server") or "python"
