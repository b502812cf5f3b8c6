"""Sockets in folders: not each path can be one, and not each file system has them."""

import secrets
import socket
from pathlib import Path

_MOST = 107  # bytes, of Linux: unix(7), sun_path without its last 0


def can_be(path: Path) -> bool:
    """Elsewhere a server listens on 127.0.0.1 instead: where the name is too long, and in a folder
    of a file system without sockets, such as one that is mounted from another kind of machine.
    """
    try:
        return len(str(path.absolute()).encode()) <= _MOST and _has_sockets(path)
    except UnicodeEncodeError:  # no UTF-8: it could not stand in a URL
        return False


def _has_sockets(path: Path) -> bool:
    """Tried in the folder, or in the one that it is to be made in, under a name no longer."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    tried = folder / f".{secrets.token_hex(4)}"
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(tried))
        tried.unlink()
    except OSError:
        return False
    return True
