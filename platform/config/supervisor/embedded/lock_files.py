"""PostgreSQL's lock files: which server runs on a data folder, and those that a dead one left.

PostgreSQL takes such a file for a running server's as long as any process of its user has the
number in it. After a restart of the machine or of a container numbers begin anew, and one of our
own processes may have it: the database would never start again.
"""

from pathlib import Path

_OF_SOCKET = ".s.PGSQL.*.lock"
# One of this number counts as PostgreSQL's own starter, so that its lock is a dead server's. It
# still looks whether processes of that server use its memory (miscinit.c, CreateLockFile).
_STARTER = "PG_GRANDPARENT_PID"


def server_on(data: Path) -> int:
    """Returns the process id of the PostgreSQL that runs on a data folder; 0 if none does."""
    holder = _holder(data)
    return holder if holder and _is_server(holder, data) else 0


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
    folder = Path(f"/proc/{process}")
    try:
        if not (folder / "comm").read_bytes().startswith(b"postgres"):
            return False
        return (folder / "cwd").samefile(data)
    except PermissionError:  # another user's: it may be one on this folder
        return True
    except OSError:  # it has ended
        return False
