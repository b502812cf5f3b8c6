"""PostgreSQL's lock files: which server runs on a data folder, and those that a dead one left.

PostgreSQL takes such a file for a running server's as long as any process of its user has the
number in it. After a restart of the machine or of a container numbers begin anew, and one of our
own processes may have it: the database would never start again.
"""

import os
from pathlib import Path

_OF_SOCKET = ".s.PGSQL.*.lock"
# One of this number counts as PostgreSQL's own starter, so that its lock is a dead server's. It
# still looks whether processes of that server use its memory (miscinit.c, CreateLockFile).
_STARTER = "PG_GRANDPARENT_PID"


def server_on(data: Path) -> int:
    """Returns the process id of the PostgreSQL that runs on a data folder; 0 if none does."""
    holder = _holder(data)
    return holder if holder and _is_server(holder, data) else 0


def rest_on(data: Path) -> list[int]:
    """Returns the process ids of a PostgreSQL on a data folder that is ending, or lost its head.

    There are none where one runs: a second one is told so by PostgreSQL itself. Its children hold
    the memory that a new one would need, and their environment, which could say whose they are, is
    written over with their titles.
    """
    head = server_on(data)
    if head and not _is_stopping(data):
        return []
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
    return [pid for pid in pids if _works_in(pid, data)]


def take_over(data: Path) -> dict[str, str]:
    """Remove a dead server's lock on its socket.

    Returns the variables with which PostgreSQL takes over its lock on the data folder.
    """
    if server_on(data):
        return {}
    for lock in data.glob(_OF_SOCKET):
        lock.unlink()
    holder = _holder(data)
    return {_STARTER: str(holder)} if holder else {}


def _holder(data: Path) -> int:
    """Returns the process id in the lock on a data folder; 0 without one."""
    try:
        number = (data / "postmaster.pid").read_text().split()[0]
    except (OSError, IndexError):
        return 0
    return int(number) if number.isdecimal() else 0


def _is_server(process: int, data: Path) -> bool:
    try:
        return _works_there(process, data)
    except PermissionError:  # another user's: it may be one on this folder
        return True


def _works_in(process: int, data: Path) -> bool:
    try:
        return _works_there(process, data)
    except PermissionError:  # another user's, of which a machine may have many
        return False


def _works_there(process: int, data: Path) -> bool:
    """Returns whether this is a PostgreSQL in a folder. Raises PermissionError."""
    folder = Path(f"/proc/{process}")
    try:
        if not (folder / "comm").read_bytes().startswith(b"postgres"):
            return False
        return (folder / "cwd").samefile(data)
    except PermissionError:
        raise
    except OSError:  # it has ended
        return False


def _is_stopping(data: Path) -> bool:
    """Returns whether the server in the lock is ending: the eighth line says so."""
    try:
        return (data / "postmaster.pid").read_text().split("\n")[7].strip() == "stopping"
    except (OSError, IndexError):
        return False
