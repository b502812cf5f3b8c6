"""Addresses of clients, whatever their spelling or tunnel, behind proxies that are trusted."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings

from tenants.rate_limits.proxies import Proxies

MOST_HOPS = 32  # entries of X-Forwarded-For that are read
LONGEST = 80  # characters of an address, its zone included
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


@lru_cache(4096)
def plain(text: str) -> str:
    """Returns an address in its usual form, the IPv4 one that IPv6 wraps. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def plain_or_none(text: str) -> str:
    """Returns the address in its usual form, or "" for any other text."""
    try:
        return plain(text) if len(text) <= LONGEST else ""
    except ValueError:
        return ""


def seen(peer: str, forwarded: str, proxies: Proxies) -> str:
    """Returns the address of a request's client.

    X-Forwarded-For is read from the right, as long as the writer of an entry is a proxy that the
    operator has named, since anybody can fake the rest. An entry that is no address ends the
    reading. Returns "" for a peer without an address, on a socket file.
    """
    address = plain_or_none(peer)
    if not forwarded or address not in proxies:
        return address
    for hop in reversed(forwarded.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        if not hop.strip():
            continue
        if not (entry := plain_or_none(hop.strip())):
            break
        address = entry
        if address not in proxies:
            break
    return address


@lru_cache(4096)
def counted(client_ip: str) -> str:
    """Returns the address that the limit per address counts: in IPv6 the /64 of a site (RFC 6177).

    "" for text that is no address, as of a socket file.
    """
    try:
        address = ip_address(client_ip)
    except ValueError:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    inside = _wrapped(address)
    if inside:
        return str(inside)
    return str(IPv6Address(int(address) >> 64 << 64))


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address inside a tunnel's: tunnels give a client very many addresses."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo and teredo[1])


def client_ip(scope: Any) -> str:
    """Returns the address of the client of an ASGI request."""
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    peer = str((scope.get("client") or ("",))[0])
    return seen(peer, b",".join(lines).decode("latin-1"), settings.WEB_PROXIES)
