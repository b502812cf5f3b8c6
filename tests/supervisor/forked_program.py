"""python -m tests.supervisor.forked_program: prints what it is, and ends as its argument says."""

import json
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import connections

from config.logs.formatting import process_name


def descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the folder itself
            yield f"{name}: {os.readlink(f'/proc/self/fd/{name}').partition(':')[0]}"


def itself() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),
        "name": process_name(),
        "port": settings.METRICS_PORT,
        "databases": sorted(connections),
        "user": connections["default"].settings_dict["USER"],
        "variables": sorted({*os.environ} - {"SPT_NOENV", "LC_CTYPE"}),
        "zone": time.strftime("%Z"),
        "leftover": "ONLY_OF_THE_FIRST" in os.environ,
        "random": [random.random(), uuid.uuid4().hex],
        "threads": threading.active_count(),
        "descriptors": [*descriptors()],
        "input": sys.stdin.read(),
        "scheduler": os.sched_getscheduler(0),
        "title": Path("/proc/self/cmdline").read_text(),
    }


if __name__ == "__main__":
    print(json.dumps(itself()))
    print("to the log", file=sys.stderr)
    sys.exit(int(sys.argv[1]))
