"""One client, one address: however it is written, and whatever tunnel it came through."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


@lru_cache(4096)
def plain(text: str) -> str:
    """In its usual form; an IPv4 address that IPv6 wraps is that IPv4 address.

    Raises ValueError for what is no address.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def seen(peer: str, forwarded: str, proxies: int) -> str:
    """Whose request it is: counted from the right of X-Forwarded-For, through as many proxies as
    we trust; the rest anybody can fake. What is no address there changes nothing.

    "" for a peer without an address: a socket file.
    """
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] if proxies else []
    candidates = [hops[-proxies]] if 0 < proxies <= len(hops) else []
    for address in (*candidates, peer):
        try:
            return plain(address)
        except ValueError:
            continue
    return ""


@lru_cache(4096)
def counted(client_ip: str) -> str:
    """Whom the limit per address counts: in IPv6 everybody has a /64 to himself (RFC 6177).

    "" for what is no address: a socket file.
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
    """Tunnels give one IPv4 client very many IPv6 addresses."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo and teredo[1])


def client_ip(scope: Any) -> str:
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    peer = str((scope.get("client") or ("",))[0])
    return seen(peer, b",".join(lines).decode("latin-1"), settings.TRUSTED_PROXIES)
