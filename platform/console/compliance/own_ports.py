"""Every port of this platform that this machine knows.

Tenants see the result of the check: the names of ports show no address.
"""

import json
from collections.abc import Iterator
from itertools import chain
from urllib.parse import urlsplit

from django.conf import settings

from console.compliance.tls_probe import Port
from infrastructure.redis.servers import servers

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound
MOST = 32


def own_ports() -> list[Port]:
    return list(dict.fromkeys(_all()))[:MOST]


def _all() -> Iterator[Port]:
    host = _ANYWHERE.get(settings.HOST, settings.HOST)
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme == "https" and public.hostname:
        yield Port("web, public address", public.hostname, public.port or 443)
    if settings.TLS_CERTIFICATE or public.scheme != "https":  # else a proxy stands before it
        yield Port("web", host, settings.PORT)
    if settings.GRPC_PORT:
        yield Port("gRPC", host, settings.GRPC_PORT)
    yield from _metrics()
    yield from _database()
    yield from _redis()


def _metrics() -> Iterator[Port]:
    """Yields one port of each role: that is enough of those that the supervisor has listed."""
    try:
        targets = json.loads((settings.FOREBAY_HOME / "metrics" / "targets.json").read_text())
        addresses = {each["labels"]["role"]: each["targets"][0] for each in targets}
    except (OSError, ValueError, LookupError, TypeError):
        return
    for role, address in addresses.items():
        host, _, port = address.rpartition(":")
        yield Port(f"metrics of {role}", host.strip("[]"), int(port))


def _database() -> Iterator[Port]:
    database = settings.DATABASES["default"]
    host = str(database.get("HOST") or "")
    if host and not host.startswith("/"):
        port = int(database.get("PORT") or 5432)
        yield Port("database", host, port, "postgres")


def _redis() -> Iterator[Port]:
    """Yields the Redis servers. A socket file has no port."""
    locations = map(servers, (settings.REDIS_URL, settings.BROKER_URL))
    server_lists = [
        each.sentinels or each.seeds or (each.address,) for each in locations if not each.path
    ]
    for number, (host, port) in enumerate(dict.fromkeys(chain(*server_lists)), start=1):
        yield Port(f"Redis {number}", host, port, "redis")
