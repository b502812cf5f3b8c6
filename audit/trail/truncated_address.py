"""The part of a client's address that the trail stores."""

import ipaddress
from functools import lru_cache


@lru_cache(4096)
def network(client_ip: str) -> str | None:
    """Returns the address without its host part (/24, /48): enough for patterns, not a person."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return None  # no address: a socket file, a name
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address)
