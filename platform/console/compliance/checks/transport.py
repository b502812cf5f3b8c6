"""Checks of transport: over TLS, within one machine, or in clear."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from console.compliance.check import CheckOutcome, outcome
from console.compliance.tls_probe import AWAY, OLDER, TLS13, Port, probe_all
from inference.engines import engines as served_by
from infrastructure.redis.servers import servers
from infrastructure.url_form import split_servers
from tenants.models import Tenant

TLS, INSIDE, CLEAR, OFF = "tls", "same_machine", "clear", "off"
_WORDS = {TLS13: "TLS 1.3", OLDER: "TLS ≤ 1.2", INSIDE: "127.0.0.1", CLEAR: "TCP", AWAY: "–"}
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound
MOST = 32


def browsers(_tenant: Tenant | None) -> CheckOutcome:
    policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    figures: dict[str, Any] = {
        "public_url": settings.PUBLIC_URL,
        "tls_at_proxy": settings.PUBLIC_URL.startswith("https://"),
        "hsts_days": settings.SECURE_HSTS_SECONDS // 86400,
        "cookies_secure": settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE,
        "cookies_http_only": settings.SESSION_COOKIE_HTTPONLY,
        "same_site": settings.SESSION_COOKIE_SAMESITE,
        "frames": settings.X_FRAME_OPTIONS,
        "scripts_from": " ".join(policy["script-src"]),
    }
    safe_cookies = figures["cookies_http_only"] and figures["same_site"] in ("Lax", "Strict")
    loosened = not safe_cookies or "'unsafe-inline'" in figures["scripts_from"]
    hsts = figures["hsts_days"] or _is_local(urlsplit(settings.PUBLIC_URL).hostname or "")
    safe = figures["tls_at_proxy"] and figures["cookies_secure"] and hsts
    return outcome(figures, loosened=loosened, no_tls=not safe)


def hops(_tenant: Tenant | None) -> CheckOutcome:
    redis = _transport(settings.REDIS_URL, "rediss")
    figures = {"database": _database(), "redis": redis, "grpc": _grpc()}
    engines = [_transport(engine.config.url, "https") for engine in served_by()]
    for kind in (TLS, INSIDE, CLEAR):
        figures[f"engines_{kind}"] = engines.count(kind)
    clear = CLEAR in figures.values() or figures[f"engines_{CLEAR}"]
    return outcome(figures, clear=clear)


def ports(_tenant: Tenant | None) -> CheckOutcome:
    """Probe each port of the platform that can be reached from here, and show its answers."""
    own = own_ports()
    kinds_of: dict[str, str] = {**probe_all(own)}
    for port in own:
        if kinds_of[port.name] == CLEAR and port.speaks != "http" and _is_local(port.host):
            kinds_of[port.name] = INSIDE
    kinds = (TLS13, OLDER, INSIDE, CLEAR, AWAY)
    figures: dict[str, Any] = {
        f"ports_{kind}": list(kinds_of.values()).count(kind) for kind in kinds
    }
    figures["found"] = [f"{name}: {_WORDS[kind]}" for name, kind in kinds_of.items()]
    clear = settings.TLS_CERTIFICATE and figures[f"ports_{CLEAR}"]  # else "browsers" reports it
    return outcome(figures, not_tls13=clear or figures[f"ports_{OLDER}"])


def _database() -> str:
    """Ask the open connection, not the settings."""
    with connection.cursor() as cursor:
        cursor.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        row = cursor.fetchone()
    host = str(connection.settings_dict["HOST"] or "")
    return TLS if row and row[0] else INSIDE if _is_local(host) else CLEAR


def _grpc() -> str:
    """Returns the transport of gRPC, which has TLS of its own: no proxy of ours is before it."""
    if not settings.GRPC_PORT:
        return OFF
    return TLS if settings.GRPC_CERTIFICATE else INSIDE if _is_local(settings.HOST) else CLEAR


def _transport(url: str, safe: str) -> Any:
    parts, hosts = split_servers(url)
    if parts.scheme.partition("+")[0] == safe:
        return TLS
    names = [urlsplit(f"//{host}").hostname or "" for host in hosts]
    return INSIDE if parts.scheme == "unix" or all(map(_is_local, names)) else CLEAR


def _is_local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def own_ports() -> list[Port]:
    """Returns the ports of this platform and its databases that are known on this machine.

    Tenants see the result of the check, so ports have names that show no address.
    """
    return list(dict.fromkeys(_all_ports()))[:MOST]


def _all_ports() -> Iterator[Port]:
    host = _ANYWHERE.get(settings.HOST, settings.HOST)
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme == "https" and public.hostname:
        yield Port("web, public address", public.hostname, public.port or 443)
    if settings.TLS_CERTIFICATE or public.scheme != "https":  # else a proxy stands before it
        yield Port("web", host, settings.PORT)
    if settings.GRPC_PORT:
        yield Port("gRPC", host, settings.GRPC_PORT)
    yield from _metrics_ports()
    yield from _database_port()
    yield from _redis_ports()


def _metrics_ports() -> Iterator[Port]:
    """Yields one port of each role: that is enough of those that the supervisor has listed."""
    try:
        targets = json.loads((settings.FOREBAY_HOME / "metrics" / "targets.json").read_text())
        addresses = {each["labels"]["role"]: each["targets"][0] for each in targets}
    except (OSError, ValueError, LookupError, TypeError):
        return
    for role, address in addresses.items():
        host, _, port = address.rpartition(":")
        yield Port(f"metrics of {role}", host.strip("[]"), int(port))


def _database_port() -> Iterator[Port]:
    database = settings.DATABASES["default"]
    host = str(database.get("HOST") or "")
    if host and not host.startswith("/"):
        port = int(database.get("PORT") or 5432)
        yield Port("database", host, port, "postgres")


def _redis_ports() -> Iterator[Port]:
    """Yields the Redis servers. A socket file has no port."""
    locations = map(servers, (settings.REDIS_URL, settings.BROKER_URL))
    server_lists = [
        each.sentinels or each.seeds or (each.address,) for each in locations if not each.path
    ]
    for number, (host, port) in enumerate(dict.fromkeys(chain(*server_lists)), start=1):
        yield Port(f"Redis {number}", host, port, "redis")
