"""Allowed addresses of engines, checked when an engine is added and at every connection.

An engine that is not hosted serves tenants that are local only, so its address must lie in the
networks of this installation (FOREBAY_INTERNAL_NETWORKS). No engine may have a link-local address
or that of a cloud's metadata service, which hands out credentials.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

Address = IPv4Address | IPv6Address
AddressInfo = tuple[int, int, int, str, Any]  # as getaddrinfo returns it
RESOLVED_WITHIN_S = 2.0
_NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",  # link-local, with the metadata of most clouds
            "100.100.100.200/32",  # Alibaba's metadata
            "168.63.129.16/32",  # Azure's
            "192.0.0.0/24",  # Oracle's, and others of the IETF
            "224.0.0.0/3",  # multicast, reserved, broadcast
            "::/128",
            "fe80::/10",
            "fd00:ec2::/32",  # Amazon's metadata
            "fd20:ce::/32",  # Google's
            "ff00::/8",
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_resolvers = ThreadPoolExecutor(2, "resolve")  # its threads start with the first use


class AddressRefused(OSError):
    """No engine may have this address: nothing is sent there."""


def refusal_reason(address: str, *, hosted: bool) -> str:
    """Returns why no engine may have an IP address, "" if one may."""
    real = real_address(address)
    if any(real in network for network in _NEVER):
        return "an engine's address must not be link-local, multicast or a metadata service's"
    if hosted or any(real in network for network in settings.INTERNAL_NETWORKS):
        return ""
    return "its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted"


def url_refusal_reason(url: str, *, hosted: bool) -> str:
    """Returns why no engine may be at a URL, "" if one may. It may ask the system's resolver.

    A name that is not known yet passes: the connection is checked once more.
    """
    host = urlsplit(url).hostname or ""
    addresses = [host] if is_literal(host) else _resolved(host)
    reasons = (refusal_reason(address, hosted=hosted) for address in addresses)
    return next(filter(None, reasons), "")


async def connectable(host: str, port: int, *, hosted: bool) -> list[str]:
    """Returns the allowed addresses of a host. Raises AddressRefused, OSError."""
    addresses = [host] if is_literal(host) else await _resolve(host, port)
    reasons = {address: refusal_reason(address, hosted=hosted) for address in addresses}
    if allowed := [address for address, reason in reasons.items() if not reason]:
        return allowed
    raise AddressRefused(next(iter(reasons.values()), "its name has no address"))


def socket_factory(*, hosted: bool) -> Callable[[AddressInfo], socket.socket]:
    """Returns a factory of aiohttp's sockets that checks the address first."""

    def checked(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _name, address = info
        if reason := refusal_reason(str(address[0]), hosted=hosted):
            raise AddressRefused(reason)
        return socket.socket(family, kind, protocol)

    return checked


def real_address(text: str) -> Address:
    """Unwrap IPv4 addresses in IPv6 notation: a kernel or router sends to the IPv4 address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _resolved(host: str) -> list[str]:
    """Returns the addresses of a host; none if the resolver fails or takes too long."""
    resolving = _resolvers.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    try:
        return [str(info[4][0]) for info in resolving.result(RESOLVED_WITHIN_S)]
    except (OSError, UnicodeError, NotInTime):
        return []


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
