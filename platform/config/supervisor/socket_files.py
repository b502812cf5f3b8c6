"""Sockets in folders: not each path can be one."""

from pathlib import Path

_MOST = 107  # bytes, of Linux: unix(7), sun_path without its last 0


def fits(path: Path) -> bool:
    """In a folder with a longer name a server listens on 127.0.0.1 instead."""
    return len(str(path.absolute()).encode()) <= _MOST
