"""PostgreSQL, Redis and the engine: as the platform reaches them, or those of `forebay run`."""

import asyncio
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from redis.exceptions import RedisError, ResponseError

from config import environment
from config.command.checks.finding import RUN, Finding, fail, ok, warn
from config.supervisor import external_servers
from config.supervisor.embedded import valkey
from config.supervisor.embedded.postgres_programs import wheel
from config.supervisor.engines.embedded_engine import bundled_model
from config.supervisor.terminal import RunProblem
from inference import engine_entries
from infrastructure.redis import servers

CLOCK_S, CLOCK_WRONG_S = 0.5, 5.0
NEARLY_FULL = 0.9
_ASK = """
    select current_setting('server_version'), rolsuper or rolbypassrls,
           extract(epoch from clock_timestamp())::float8
    from pg_roles where rolname = current_user"""


def findings() -> Iterator[Finding]:
    if url := environment.variable("DATABASE_URL"):
        yield from _postgres("postgresql", url)
    else:
        yield _embedded("postgresql", wheel, "DATABASE_URL")
    if url := environment.variable("FOREBAY_REQUESTS_DATABASE_URL"):
        yield from _postgres("postgresql for requests", url)
    if url := environment.variable("REDIS_URL"):
        yield from asyncio.run(_redis(url))
    else:
        yield _embedded("redis", valkey.binary, "REDIS_URL")
    yield from _engines()


def _embedded(subject: str, look: Callable[[], object], variable: str) -> Finding:
    """Return whether `forebay run` has a server to start: the shipped image has none."""
    try:
        look()
    except RunProblem as problem:
        return fail(subject, str(problem))
    return ok(subject, f"embedded: {variable} names none")


def _engines() -> Iterator[Finding]:
    """Yield a finding about llama.cpp and its model, where an engine here needs them."""
    has_llama_cpp = importlib.util.find_spec("xllamacpp") is not None
    engines = environment.engines()
    launched = [entry for entry in engine_entries.entries(engines) if entry.fields.get("launch")]
    names = [entry.engine for entry in launched if entry.fields.get("kind") == "llama_cpp"]
    if names and not has_llama_cpp:
        yield fail("engine", f"{names[0]} is launched here, and xllamacpp is not installed")
    if engines or os.environ.get("FOREBAY_ROLES"):
        return
    problem = "" if has_llama_cpp else "llama.cpp (xllamacpp) is not installed"
    try:
        if not os.environ.get("FOREBAY_MODEL"):
            bundled_model()
    except RunProblem as missing:
        problem = problem or str(missing)
    if problem:  # every other subcommand works without it: the API may add engines
        yield warn(RUN, f"cannot start: {problem}; set FOREBAY_ENGINES or FOREBAY_ROLES")
    else:
        yield ok("engine", "embedded: FOREBAY_ENGINES names none")


def _postgres(subject: str, url: str) -> Iterator[Finding]:
    try:
        asyncio.run(external_servers.require_database(url))
        with psycopg.connect(f"postgresql://{url.partition('://')[2]}", connect_timeout=5) as link:
            version, sees_all, their_time = link.execute(_ASK).fetchone() or ("", False, 0.0)
    except (RunProblem, psycopg.Error) as problem:
        yield fail(subject, str(problem).splitlines()[0])
        return
    yield ok(subject, f"{version} answers at {external_servers.address_of(url)}")
    if sees_all:
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
            answering = ok("redis", f"answers at {external_servers.address_of(url)}")
            if servers.is_cluster(url):
                text = "a cluster: look at each node that it does not evict"
                return [answering, warn("redis", text)]
            seconds, micros = await redis.time()
            clock = _clock("redis", seconds + micros / 1e6)
            return [answering, _memory(await redis.info("memory")), await _eviction(redis), clock]
    except (RunProblem, RedisError, OSError) as problem:
        return [fail("redis", str(problem).splitlines()[0])]


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
