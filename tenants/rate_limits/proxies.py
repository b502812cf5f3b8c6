"""The proxies in front of a front end, whose statements about clients are trusted."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

SOCKET_FILE = "unix"  # a proxy on a socket file, which has no address
Network = IPv4Network | IPv6Network


class Proxies:
    """Addresses and networks, separated by commas, and `unix`; none by default.

    Raises ValueError for any other word, and for a network that includes every address.
    """

    def __init__(self, text: str = "") -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        self._socket_file = SOCKET_FILE in words
        self._networks = [_network(word) for word in words if word != SOCKET_FILE]
        self._includes = lru_cache(4096)(self._look_up)

    def __bool__(self) -> bool:
        return self._socket_file or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Returns True if the address is a proxy's; "" stands for a peer on a socket file."""
        if not self._networks or not address:
            return self._socket_file and not address
        return self._includes(address)

    def _look_up(self, address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)


def _network(word: str) -> Network:
    network = ip_network(word)
    if not network.prefixlen:
        raise ValueError(f"{word} holds every address there is: anybody could name any client")
    return network
