"""Tells whether an address is one of this host."""

import socket
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit


@lru_cache(maxsize=1024)
def is_here(url: str) -> bool:
    """Returns whether a URL's host is this one. The kernel binds sockets to own addresses only."""
    host = urlsplit(url).hostname or ""
    try:
        addresses = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_binds(family, address) for family, _type, _proto, _name, address in addresses)


def _binds(family: socket.AddressFamily, address: Any) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True
