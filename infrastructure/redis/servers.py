"""Clients for the configured Redis: one server, the primary behind sentinels, or a cluster.

    redis://:PASSWORD@HOST:6379/0
    unix://:PASSWORD@/PATH/OF/A.sock?db=0
    redis+sentinel://:PASSWORD@HOST:26379,HOST:26379,HOST:26379/NAME/0
    redis+cluster://:PASSWORD@HOST:6379,HOST:6379,HOST:6379

NAME is the primary's name at the sentinels; `?sentinel_password=...` is for sentinels that require
one. A URL whose scheme begins with `rediss` uses TLS, for sentinels too
(infrastructure/outgoing_tls.py). This module imports nothing of Django, because the supervisor
reads it before Django's settings are loaded.
"""

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from infrastructure.redis import without_tracing as without_tracing  # before redis

# isort: split
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from infrastructure.outgoing_tls import redis_options
from infrastructure.url_form import split_servers

SCHEME, CLUSTER, SOCKET = "redis+sentinel", "redis+cluster", "unix"
SECURE = {"rediss": "redis", "rediss+sentinel": SCHEME, "rediss+cluster": CLUSTER}
PORT, SENTINEL_PORT = 6379, 26379
# TCP options in seconds. A connection that only listens notices a silent network failure by them.
KEEPALIVE = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 2,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 10_000,  # ms
}
PATIENCE: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
SENTINEL_PATIENCE_S = 0.5  # a sentinel that is down must not cost more: the others know as well


class Address(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Servers:
    """A parsed URL. `address` is the server's own if there are no `sentinels`."""

    address: Address
    username: str = ""
    password: str = ""
    database: str = ""
    sentinels: tuple[Address, ...] = ()
    name: str = ""
    sentinel_password: str = ""
    seeds: tuple[Address, ...] = ()  # some nodes of a cluster
    secure: bool = False  # over TLS
    path: str = ""  # of a Unix socket, instead of an address

    @property
    def patience(self) -> dict[str, Any]:
        """Keepalive options, for TCP only: a Unix socket cannot lose its peer unnoticed."""
        return {} if self.path else dict(PATIENCE)

    @property
    def tls(self) -> dict[str, Any]:
        """TLS options of redis-py for clients that are not made from a URL."""
        return {"ssl": True, **self.tls_options} if self.secure else {}

    @property
    def tls_options(self) -> Mapping[str, Any]:
        return redis_options(self.address.host) if self.secure else {}

    @property
    def to_sentinels(self) -> dict[str, Any]:
        """Options of redis-py for connections to the sentinels.

        One that does not answer is not asked again: redis-py would try three times more, for
        seconds, and the others know as well.
        """
        patience = SENTINEL_PATIENCE_S
        options: dict[str, Any] = {"socket_timeout": patience, "socket_connect_timeout": patience}
        options |= {"retry": Retry(NoBackoff(), 0), **self.tls}
        return options | ({"password": self.sentinel_password} if self.sentinel_password else {})

    @property
    def to_sentinels_on_asyncio(self) -> dict[str, Any]:
        """The same for clients on asyncio, which have a class of their own for it."""
        return {**self.to_sentinels, "retry": redis.asyncio.retry.Retry(NoBackoff(), 0)}

    @property
    def to_primary(self) -> dict[str, Any]:
        """Options of redis-py for connections to the primary that the sentinels name."""
        options = {"username": self.username, "password": self.password, "db": self.database}
        return {name: value for name, value in options.items() if value} | self.tls

    def url_of(self, address: Address) -> str:
        """Returns the URL of one node of a cluster."""
        user = f"{quote(self.username)}:{quote(self.password, safe='')}@" if self.password else ""
        return f"redis{'s' if self.secure else ''}://{user}{_netloc(address)}"

    async def primary(self) -> Address:
        """Returns the primary's address. Raises redis.RedisError if no sentinel knows one.

        All sentinels are asked at once: the first of the list may be in a zone that is cut off.
        """
        if not self.sentinels:
            return self.address
        questions = [asyncio.ensure_future(self._primary_by(each)) for each in self.sentinels]
        try:
            for answer in asyncio.as_completed(questions):
                try:
                    return await answer
                except redis.RedisError as problem:
                    last = problem
            raise last
        finally:
            for question in questions:
                question.cancel()
            await asyncio.gather(*questions, return_exceptions=True)

    async def _primary_by(self, sentinel: Address) -> Address:
        client = _async_watch(self, [sentinel])
        try:
            return Address(*await client.discover_master(self.name))
        finally:
            for each in client.sentinels:
                await each.aclose()


def servers(url: str) -> Servers:
    """Parses a URL. Raises ValueError."""
    parts, hosts = split_servers(url)
    secure, scheme = parts.scheme in SECURE, SECURE.get(parts.scheme, parts.scheme)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if scheme == SOCKET:
        database = parse_qs(parts.query).get("db", [""])[0]
        local = Address("localhost", 0)
        return Servers(local, username, password, database, path=unquote(parts.path))
    if scheme == CLUSTER:
        seeds = tuple(_address(each, PORT) for each in hosts)
        return Servers(seeds[0], username, password, seeds=seeds, secure=secure)
    if scheme != SCHEME:
        address = Address(parts.hostname or "127.0.0.1", parts.port or PORT)
        return Servers(address, username, password, parts.path.strip("/"), secure=secure)
    sentinels = tuple(map(_address, hosts))
    name, _, database = parts.path.removeprefix("/").partition("/")
    if not name or not (database or "0").isdecimal():
        raise ValueError(
            f"sentinels must be named as {SCHEME}://:PASSWORD@HOST:26379,HOST:26379/NAME/0"
        )
    sentinel_password = parse_qs(parts.query).get("sentinel_password", [""])[0]
    user = (username, password, database)
    return Servers(sentinels[0], *user, sentinels, name, sentinel_password, secure=secure)


def is_cluster(url: str) -> bool:
    scheme = url.partition("://")[0]
    return SECURE.get(scheme, scheme) == CLUSTER


def _address(text: str, port: int = SENTINEL_PORT) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no address of a sentinel or a node")
    return Address(parts.hostname, parts.port or port)


def _netloc(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


# redis-py has no types for its sentinels: hence the ignores below.
def watch(servers_: Servers) -> Sentinel:
    return Sentinel(servers_.sentinels, sentinel_kwargs=servers_.to_sentinels)  # type: ignore[no-untyped-call]


def _async_watch(
    servers_: Servers, sentinels: Sequence[Address] = ()
) -> redis.asyncio.sentinel.Sentinel:
    sentinels, options = sentinels or servers_.sentinels, servers_.to_sentinels_on_asyncio
    return redis.asyncio.sentinel.Sentinel(sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]


def client(url: str, **options: Any) -> redis.Redis:
    """Returns a client that connects at its first command and follows the primary after a failover.

    A cluster's client supports single commands, scripts, and pipelines that touch one slot or have
    no transaction.
    """
    if not (parsed := servers(url)).seeds:
        return redis.Redis.from_pool(Pool.from_url(url, **options))
    seeds = [ClusterNode(*address) for address in parsed.seeds]  # type: ignore[no-untyped-call]
    cluster: Any = RedisCluster(startup_nodes=seeds, **parsed.to_primary, **PATIENCE, **options)
    return cast("redis.Redis", cluster)


def keep_alive(socket_: socket.socket) -> None:
    """Switches TCP keepalive on; a Unix socket needs none."""
    if socket_.family == socket.AF_UNIX:
        return
    socket_.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        socket_.setsockopt(socket.IPPROTO_TCP, option, value)


def async_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """Returns an asyncio client. Of a cluster it reaches one node only."""
    parsed = servers(url)
    options = parsed.patience | options
    if parsed.seeds:
        url = parsed.url_of(parsed.address)
    if not parsed.sentinels:
        return redis.asyncio.Redis.from_url(url, **parsed.tls_options, **options)
    sentinels = _async_watch(parsed)
    primary: redis.asyncio.Redis = sentinels.master_for(parsed.name, **parsed.to_primary, **options)
    return primary


class Pool(redis.ConnectionPool):
    """A connection pool chosen by its URL, for settings that name a class, such as Django's
    cache."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> redis.ConnectionPool:  # type: ignore[override]
        parsed = servers(url)
        options = parsed.patience | options
        if not parsed.sentinels:
            return redis.ConnectionPool.from_url(url, **parsed.tls_options, **options)
        primary = parsed.to_primary | options
        return SentinelConnectionPool(parsed.name, watch(parsed), **primary)  # type: ignore[no-untyped-call]


def channels_host(url: str) -> dict[str, Any]:
    """Returns the host entry of channels_redis."""
    parsed = servers(url)
    if not parsed.sentinels:
        return {"address": url, **parsed.tls_options, **parsed.patience}
    sentinels = {"sentinels": list(parsed.sentinels), "master_name": parsed.name}
    options = {"sentinel_kwargs": parsed.to_sentinels_on_asyncio, **PATIENCE}
    return {**sentinels, **options, **parsed.to_primary}


class Broker(NamedTuple):
    """The broker settings of Celery."""

    url: str
    options: dict[str, Any]  # of the transport
    tls: dict[str, Any]  # empty without TLS


def celery_broker(url: str) -> Broker:
    parsed = servers(url)
    tls = dict(parsed.tls_options)
    if parsed.path:
        quoted = quote(parsed.password, safe="")
        user = f"{quote(parsed.username)}:{quoted}@" if parsed.password else ""
        path = f"{quote(parsed.path)}?virtual_host={parsed.database or 0}"
        return Broker(f"redis+socket://{user}{path}", {}, {})
    if not parsed.sentinels:  # kombu reads TLS from its options, and has its own rules for rediss
        return Broker(re.sub("^rediss:", "redis:", url), dict(PATIENCE), tls)
    user = split_servers(url)[0].netloc.rpartition("@")[0]
    credentials = f"{user}@" if user else ""
    database = parsed.database or 0
    urls = [f"{credentials}{_netloc(address)}/{database}" for address in parsed.sentinels]
    options = {"master_name": parsed.name, "sentinel_kwargs": parsed.to_sentinels, **PATIENCE}
    return Broker(";".join(f"sentinel://{url_}" for url_ in urls), options, tls)
