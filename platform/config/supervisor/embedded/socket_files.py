"""Unix sockets in folders: some paths are too long, and some file systems have none."""

import secrets
import socket
from pathlib import Path

_MOST = 107  # bytes, of Linux: unix(7), sun_path without its last 0


def can_bind(path: Path) -> bool:
    """Returns whether a socket can be made at this path; if not, its server listens on 127.0.0.1.

    It cannot if the name is too long, or in a folder of a file system without sockets, such as one
    that is mounted from another kind of machine.
    """
    try:
        return len(str(path.absolute()).encode()) <= _MOST and _has_sockets(path)
    except UnicodeEncodeError:  # no UTF-8: it could not stand in a URL
        return False


def _has_sockets(path: Path) -> bool:
    """Bind a socket of a name no longer, in the folder or the nearest parent that exists."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    trial = folder / f".{secrets.token_hex(4)}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(trial))
        trial.unlink()
    except OSError:
        return False
    return True
