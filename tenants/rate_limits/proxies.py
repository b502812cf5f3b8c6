"""The proxies in front of one front end, whose word about a client is believed."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

SOCKET_FILE = "unix"  # a proxy that comes over a socket file, and so has no address
Network = IPv4Network | IPv6Network


class Proxies:
    """Addresses and networks, with commas in between, and `unix`; none by default.

    Raises ValueError for what is neither, and for a network that holds everybody.
    """

    def __init__(self, text: str = "") -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        self._socket_file = SOCKET_FILE in words
        self._networks = [_network(word) for word in words if word != SOCKET_FILE]
        self._includes = lru_cache(4096)(self._look_up)

    def __bool__(self) -> bool:
        return self._socket_file or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether the address is a proxy's; "" is that of a peer on a socket file."""
        if not self._networks or not address:
            return self._socket_file and not address
        return self._includes(address)

    def _look_up(self, address: str) -> bool:
        place = ip_address(address)
        return any(place in network for network in self._networks)


def _network(word: str) -> Network:
    network = ip_network(word)
    if not network.prefixlen:
        raise ValueError(f"{word} holds every address there is: anybody could name any client")
    return network
