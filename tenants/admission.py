"""Step 2 of a request's life: one script decides over every limit at once (admission.lua)."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tenants.caller import Caller
from tenants.redis_link import RedisLink, Script

_SCRIPT = Script.load(Path(__file__).with_name("admission.lua"))


@dataclass(frozen=True, slots=True)
class Admission:
    """`tier` is "" when admitted, else the limit that refused: ip, rate or concurrency."""

    tier: str
    limit: int
    remaining: int
    frees_in_ms: int


def concurrency_key(tenant: str) -> str:
    """Sorted set of the tenant's requests in progress: settling takes a request out."""
    return f"busy:{tenant}"


async def admit(
    redis: RedisLink,
    caller: Caller,
    *,
    client_ip: str,
    ip_per_minute: int,
    request_id: str,
    hold_s: int,
) -> Admission:
    """Takes a token and a place for at most `hold_s` seconds. Raises RedisGone."""
    tenant, limits = str(caller.tenant_id), caller.limits
    tier, limit, remaining, frees_in_ms = await redis.run(
        _SCRIPT,
        [f"ip:{_counted(client_ip)}:", f"bucket:{tenant}", concurrency_key(tenant)],
        ip_per_minute if client_ip else 0,
        limits.requests_per_minute,
        limits.burst,
        limits.max_concurrency,
        request_id,
        hold_s,
    )
    return Admission(tier.decode(), limit, remaining, frees_in_ms)


@lru_cache(4096)
def _counted(client_ip: str) -> str:
    """Whom the limit per address counts: in IPv6 everybody has a /64 to himself (RFC 6177)."""
    try:
        network = ipaddress.IPv6Network(f"{client_ip}/64", strict=False)
    except ValueError:  # IPv4, or no address at all
        return client_ip
    return str(network.network_address)


async def release(redis: RedisLink, caller: Caller, request_id: str) -> None:
    """Gives the place back when the request went no further."""
    await redis.call("ZREM", concurrency_key(str(caller.tenant_id)), request_id)
