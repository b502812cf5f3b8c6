"""Python, files and room on this machine."""

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from config import environment, machine_clock
from config.command.checks.finding import Finding, fail, ok, warn

OLDEST = (3, 11)
_GIB = 1024**3
LEAST_FREE, LITTLE_FREE = _GIB // 2, 5 * _GIB
LEAST_FILES = 4_096  # sockets are files
_STORES = {"FOREBAY_MODEL_STORE": "model-store", "FOREBAY_JOB_STORE": "job-store"}
_SOME_FILE = Path("static", "console", "console.css")


def findings() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < OLDEST:
        yield fail("python", f"{version} is too old: install Python 3.11 or newer")
    else:
        yield ok("python", version)
    file = environment.PROJECT / _SOME_FILE
    if file.is_file():
        yield ok("files", f"templates, static files and translations in {environment.PROJECT}")
    else:
        yield fail("files", f"{file} is not there: install Forebay's wheel again")
    yield _home()
    if environment.HOME.exists():
        yield _room()
    yield from stores()
    yield _open_files()
    if problem := machine_clock.problem():
        yield fail("clock", problem)
    else:
        yield ok("clock", f"{machine_clock.now():%Y-%m-%d %H:%M} UTC")


def _home() -> Finding:
    home = environment.HOME
    above = next(each for each in (home, *home.parents) if each.exists())
    if os.access(above, os.W_OK | os.X_OK):
        return ok("home", f"{home}{'' if above == home else ', will be made'}")
    remedy = "give it to the user that Forebay runs as, or set FOREBAY_HOME to another folder"
    return fail("home", f"cannot write to {above}: {remedy}")


def _room() -> Finding:
    free = shutil.disk_usage(environment.HOME).free
    text = f"{free / _GIB:.1f} GiB are free in {environment.HOME}"
    if free < LEAST_FREE:
        return fail("disk", f"{text}: make room, or set FOREBAY_HOME to a larger disk")
    if free < LITTLE_FREE:
        return warn("disk", f"{text}: logs and exports may need more")
    return ok("disk", text)


def stores() -> Iterator[Finding]:
    """Yield a warning for each store of files that would be this host's alone, of several hosts."""
    for name, folder in _STORES.items():
        path = environment.HOME / folder
        if os.environ.get("FOREBAY_ROLES") and not (os.environ.get(name) or path.is_mount()):
            yield warn(
                "shared files",
                f"{path} is this host's alone: set {name} to a folder or bucket of all hosts, or "
                "mount one there",
            )


def _open_files() -> Finding:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < LEAST_FILES:
        return warn("open files", f"{most} at most: raise `ulimit -Hn` (systemd: LimitNOFILE=)")
    return ok("open files", "no limit" if most == resource.RLIM_INFINITY else f"{most} at most")
