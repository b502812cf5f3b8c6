"""PostgreSQL and Redis, as the platform reaches them, and whether their clocks agree with ours."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from redis.exceptions import RedisError, ResponseError

from config import environment
from config.command.checks import embedded
from config.command.checks.finding import Finding, fail, ok, warn
from config.supervisor import external_servers
from config.supervisor.terminal import Problem
from infrastructure.redis import servers

CLOCK_S, CLOCK_WRONG_S = 0.5, 5.0
NEARLY_FULL = 0.9
_ASK = """
    select current_setting('server_version'), rolsuper, rolbypassrls,
           extract(epoch from clock_timestamp())::float8
    from pg_roles where rolname = current_user"""


def findings() -> Iterator[Finding]:
    if url := environment.variable("DATABASE_URL"):
        yield from _postgres("postgresql", url)
    else:
        yield embedded.postgresql()
    if url := environment.variable("FOREBAY_REQUESTS_DATABASE_URL"):
        yield from _postgres("postgresql for requests", url)
    if url := environment.variable("REDIS_URL"):
        yield from asyncio.run(_redis(url))
    else:
        yield embedded.redis()


def _postgres(subject: str, url: str) -> Iterator[Finding]:
    try:
        asyncio.run(external_servers.require_database(url))
        with psycopg.connect(f"postgresql://{url.partition('://')[2]}", connect_timeout=5) as link:
            version, superuser, sees_all, their_time = link.execute(_ASK).fetchone() or (
                "",
                0,
                0,
                0.0,
            )
    except (Problem, psycopg.Error) as problem:
        yield fail(subject, str(problem).splitlines()[0])
        return
    yield ok(subject, f"{version} answers at {external_servers.address_of(url)}")
    if superuser or sees_all:
        yield warn(
            subject,
            "its role sees through row security: fine for `forebay migrate`, not for what serves "
            "(docs/deployment-database.md)",
        )
    yield _clock(subject, their_time)


async def _redis(url: str) -> list[Finding]:
    try:
        await external_servers.require_redis(url)
        async with servers.async_client(url, socket_connect_timeout=5) as redis:
            return await _redis_state(redis, url)
    except (Problem, RedisError, OSError) as problem:
        return [fail("redis", str(problem).splitlines()[0])]


async def _redis_state(redis: Any, url: str) -> list[Finding]:
    answering = [ok("redis", f"answers at {external_servers.address_of(url)}")]
    if servers.is_cluster(url):
        return [*answering, warn("redis", "a cluster: look at each node that it does not evict")]
    seconds, micros = await redis.time()
    clock = _clock("redis", seconds + micros / 1e6)
    return [*answering, _memory(await redis.info("memory")), await _eviction(redis), clock]


def _memory(info: dict[str, Any]) -> Finding:
    used, most = (int(info.get(name, 0)) / 2**20 for name in ("used_memory", "maxmemory"))
    if not most:
        return ok("redis", f"{used:.0f} MiB in use, without a maxmemory")
    text = f"{used:.0f} MiB of {most:.0f} MiB in use"
    if used > NEARLY_FULL * most:
        return warn("redis", f"{text}: docs/operations/runbooks/valkey-memory.md")
    return ok("redis", text)


async def _eviction(redis: Any) -> Finding:
    try:
        policy = (await redis.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except ResponseError:
        return warn("redis", "does not tell its maxmemory-policy: it must be noeviction")
    if policy != "noeviction":
        return fail(
            "redis",
            f"maxmemory-policy is {policy}: queues and limits would vanish; set it to noeviction",
        )
    return ok("redis", "maxmemory-policy is noeviction")


def _clock(subject: str, their_time: float) -> Finding:
    apart = abs(time.time() - their_time)
    text = f"its clock and this one are {apart:.1f} s apart"
    if apart > CLOCK_WRONG_S:
        return fail(subject, f"{text}: deadlines and seals go wrong; let NTP set both")
    if apart > CLOCK_S:
        return warn(subject, f"{text}: let NTP set both")
    return ok(subject, text)
