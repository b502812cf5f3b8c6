"""Checks of the servers that somebody else runs, as DATABASE_URL and REDIS_URL name them."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

import psycopg
from redis.exceptions import RedisError

from config.supervisor.terminal import RunProblem
from infrastructure.redis import servers
from infrastructure.url_form import split_servers

_OLDEST_POSTGRES = 15
_OLDEST_REDIS = 7  # the first whose scripts can have flags


async def require_database(url: str) -> None:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "psql", "pgsql"}:
        raise RunProblem("DATABASE_URL must look like postgres://user:password@host:5432/name")
    try:
        connect = psycopg.AsyncConnection.connect(f"postgresql://{rest}", connect_timeout=5)
        async with await connect as connection:
            version = connection.info.server_version // 10000
            encoding = connection.info.parameter_status("server_encoding")
    except (psycopg.Error, ValueError) as error:
        raise RunProblem(
            f"DATABASE_URL does not answer ({_reason(error)}): check that PostgreSQL runs at "
            f"{address_of(url)}, or unset DATABASE_URL to use the embedded one"
        ) from None
    if version < _OLDEST_POSTGRES:
        raise RunProblem(f"PostgreSQL {version} is too old: {_OLDEST_POSTGRES} or newer is needed")
    if encoding != "UTF8":
        raise RunProblem(
            f"the database at {address_of(url)} has the encoding {encoding}: make it anew with "
            "`create database forebay encoding 'UTF8' template template0`"
        )


async def require_redis(url: str) -> None:
    try:
        # Protocol 2, as an old server knows no HELLO, and its version belongs in the message.
        async with servers.async_client(
            url, protocol=2, socket_connect_timeout=5, socket_timeout=5
        ) as redis:
            version = redis_version(await redis.info("server"))
    except (RedisError, OSError, ValueError) as error:
        raise RunProblem(
            f"REDIS_URL does not answer ({_reason(error)}): check that Redis runs at "
            f"{address_of(url)}, or unset REDIS_URL to use the embedded one"
        ) from None
    if int(version.partition(".")[0]) < _OLDEST_REDIS:
        raise RunProblem(
            f"Redis {version} at {address_of(url)} is too old: use Redis {_OLDEST_REDIS} or newer, "
            "or Valkey, or unset REDIS_URL to use the embedded one"
        )


def redis_version(server: Mapping[str, object]) -> str:
    """Returns the version in INFO's section `server`.

    Valkey names the Redis that it is compatible with: 7.2.4.
    """
    version = str(server.get("redis_version", ""))
    if not re.match(r"\d", version):
        raise ValueError("it does not say which version it is")
    return version


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\s+", " ", lines[-1])[:200]


def address_of(url: str) -> str:
    """Returns a URL's host and port, or its socket, without the password."""
    parts, hosts = split_servers(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    path = unquote(parts.path) if parts.scheme == "unix" else folder
    return ",".join(hosts) or path or "the address in it"
