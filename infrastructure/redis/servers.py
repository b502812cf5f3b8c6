"""Where Redis is: one server, the primary of those that sentinels watch, or a cluster.

    redis://:PASSWORD@HOST:6379/0
    unix://:PASSWORD@/PATH/OF/A.sock?db=0
    redis+sentinel://:PASSWORD@HOST:26379,HOST:26379,HOST:26379/NAME/0
    redis+cluster://:PASSWORD@HOST:6379,HOST:6379,HOST:6379

NAME is what the sentinels call it; `?sentinel_password=…` where they ask for one. Each begins with
`rediss` where it is in TLS, sentinels and all (outgoing_tls.py). Nothing of Django is imported: the
supervisor reads this before anything is set up.
"""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from infrastructure.redis import without_tracing as without_tracing  # before redis

# isort: split
import redis
import redis.asyncio
import redis.asyncio.sentinel
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel, SentinelConnectionPool

from infrastructure.outgoing_tls import redis_options

SCHEME, CLUSTER, SOCKET = "redis+sentinel", "redis+cluster", "unix"
SECURE = {"rediss": "redis", "rediss+sentinel": SCHEME, "rediss+cluster": CLUSTER}
PORT, SENTINEL_PORT = 6379, 26379
# Of TCP, in seconds: a network that swallows packets is noticed by who only listens, too.
KEEPALIVE = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 2,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 10_000,  # ms
}
PATIENCE: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
SENTINEL_PATIENCE_S = 0.5  # one that is down must not cost more: the others know as well


class Address(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Servers:
    """What a URL says. Without `sentinels`, `address` is the server's."""

    address: Address
    username: str = ""
    password: str = ""
    database: str = ""
    sentinels: tuple[Address, ...] = ()
    name: str = ""
    sentinel_password: str = ""
    seeds: tuple[Address, ...] = ()  # some nodes of a cluster
    secure: bool = False  # in TLS
    path: str = ""  # of a socket, instead of an address

    @property
    def patience(self) -> dict[str, Any]:
        """A socket is on this machine: TCP's ways to notice a lost one are of no use."""
        return {} if self.path else dict(PATIENCE)

    @property
    def tls(self) -> dict[str, Any]:
        """As redis-py takes it where no URL says so."""
        return {"ssl": True, **self.tls_options} if self.secure else {}

    @property
    def tls_options(self) -> Mapping[str, Any]:
        return redis_options(self.address.host) if self.secure else {}

    @property
    def to_sentinels(self) -> dict[str, Any]:
        """How redis-py connects to them."""
        patience = SENTINEL_PATIENCE_S
        found: dict[str, Any] = {"socket_timeout": patience, "socket_connect_timeout": patience}
        found |= self.tls
        return found | ({"password": self.sentinel_password} if self.sentinel_password else {})

    @property
    def to_primary(self) -> dict[str, Any]:
        """The same, for the server that they name."""
        given = {"username": self.username, "password": self.password, "db": self.database}
        return {name: value for name, value in given.items() if value} | self.tls

    def url_of(self, address: Address) -> str:
        """Of one node of a cluster."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        user = f"{quote(self.username)}:{quote(self.password, safe='')}@" if self.password else ""
        return f"redis{'s' if self.secure else ''}://{user}{host}:{address.port}"

    async def primary(self) -> Address:
        """Raises redis.RedisError where no sentinel knows one."""
        if not self.sentinels:
            return self.address
        asked = _async_watch(self)
        try:
            return Address(*await asked.discover_master(self.name))
        finally:
            for sentinel in asked.sentinels:
                await sentinel.aclose()


def servers(url: str) -> Servers:
    """Raises ValueError."""
    parts = urlsplit(url)
    secure, scheme = parts.scheme in SECURE, SECURE.get(parts.scheme, parts.scheme)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if scheme == SOCKET:
        database = parse_qs(parts.query).get("db", [""])[0]
        local = Address("localhost", 0)
        return Servers(local, username, password, database, path=unquote(parts.path))
    if scheme == CLUSTER:
        seeds = tuple(_address(each, PORT) for each in parts.netloc.rpartition("@")[2].split(","))
        return Servers(seeds[0], username, password, seeds=seeds, secure=secure)
    if scheme != SCHEME:
        address = Address(parts.hostname or "127.0.0.1", parts.port or PORT)
        return Servers(address, username, password, parts.path.strip("/"), secure=secure)
    sentinels = tuple(map(_address, parts.netloc.rpartition("@")[2].split(",")))
    name, _, database = parts.path.removeprefix("/").partition("/")
    if not name or not (database or "0").isdecimal():
        raise ValueError(
            f"sentinels must be named as {SCHEME}://:PASSWORD@HOST:26379,HOST:26379/NAME/0"
        )
    told = parse_qs(parts.query).get("sentinel_password", [""])[0]
    given = username, password, database, sentinels, name, told
    return Servers(sentinels[0], *given, secure=secure)


def is_cluster(url: str) -> bool:
    scheme = urlsplit(url).scheme
    return SECURE.get(scheme, scheme) == CLUSTER


def _address(text: str, port: int = SENTINEL_PORT) -> Address:
    found = urlsplit(f"//{text}")
    if not found.hostname:
        raise ValueError(f"{text!r} is no address of a sentinel or a node")
    return Address(found.hostname, found.port or port)


# redis-py has no types for its sentinels: hence the ignores below.
def watch(found: Servers) -> Sentinel:
    return Sentinel(found.sentinels, sentinel_kwargs=found.to_sentinels)  # type: ignore[no-untyped-call]


def _async_watch(found: Servers) -> redis.asyncio.sentinel.Sentinel:
    named, patience = found.sentinels, found.to_sentinels
    return redis.asyncio.sentinel.Sentinel(named, sentinel_kwargs=patience)  # type: ignore[no-untyped-call]


def client(url: str, **options: Any) -> redis.Redis:
    """Not connected yet; after a failover it asks where the primary is.

    Of a cluster it has what is asked for here: commands, scripts, and pipelines of one slot, or
    without a transaction.
    """
    if (found := servers(url)).seeds:
        connected: redis.Redis = _cluster(found, **options)
        return connected
    return redis.Redis.from_pool(Pool.from_url(url, **options))


# Nor for the nodes of its clusters.
def _cluster(found: Servers, **options: Any) -> Any:
    seeds = [ClusterNode(*address) for address in found.seeds]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=seeds, **found.to_primary, **PATIENCE, **options)


def keep_alive(connected: socket.socket) -> None:
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


def async_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """Of a cluster one node."""
    found = servers(url)
    options = found.patience | options
    if found.seeds:
        url = found.url_of(found.address)
    if not found.sentinels:
        return redis.asyncio.Redis.from_url(url, **found.tls_options, **options)
    asked = _async_watch(found)
    connected: redis.asyncio.Redis = asked.master_for(found.name, **found.to_primary, **options)
    return connected


class Pool(redis.ConnectionPool):
    """For who names a class of pools, as Django's cache does: the right one comes of its URL."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> redis.ConnectionPool:  # type: ignore[override]
        found = servers(url)
        options = found.patience | options
        if not found.sentinels:
            return redis.ConnectionPool.from_url(url, **found.tls_options, **options)
        primary = found.to_primary | options
        return SentinelConnectionPool(found.name, watch(found), **primary)  # type: ignore[no-untyped-call]


def channels_host(url: str) -> dict[str, Any]:
    """As channels_redis takes it."""
    found = servers(url)
    if not found.sentinels:
        return {"address": url, **found.tls_options, **found.patience}
    named = {"sentinels": list(found.sentinels), "master_name": found.name}
    return {**named, "sentinel_kwargs": found.to_sentinels, **found.to_primary, **PATIENCE}


class Broker(NamedTuple):
    """As Celery takes it."""

    url: str
    options: dict[str, Any]  # of the transport
    tls: dict[str, Any]  # empty where there is none


def celery_broker(url: str) -> Broker:
    found = servers(url)
    tls = dict(found.tls_options)
    if found.path:
        return Broker(_kombus_socket(found), {}, {})
    if not found.sentinels:  # kombu takes TLS from its options, and has rules of its own for rediss
        return Broker(re.sub("^rediss:", "redis:", url), dict(PATIENCE), tls)
    user = urlsplit(url).netloc.rpartition("@")[0]
    first = f"{user}@" if user else ""
    each = [f"{first}{host}:{port}/{found.database or 0}" for host, port in found.sentinels]
    options = {"master_name": found.name, "sentinel_kwargs": found.to_sentinels, **PATIENCE}
    return Broker(";".join(f"sentinel://{one}" for one in each), options, tls)


def _kombus_socket(found: Servers) -> str:
    user = f"{quote(found.username)}:{quote(found.password, safe='')}@" if found.password else ""
    return f"redis+socket://{user}{quote(found.path)}?virtual_host={found.database or 0}"
