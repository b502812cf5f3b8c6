"""Checks of transport: over TLS, within one machine, or in clear."""

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.own_ports import own_ports
from console.compliance.texts import Text
from console.compliance.tls_probe import AWAY, OLDER, TLS13, probe_all
from inference.engines import engines as served_by
from tenants.models import Tenant

TLS, INSIDE, CLEAR, OFF = "tls", "same_machine", "clear", "off"
_WORDS = {TLS13: "TLS 1.3", OLDER: "TLS ≤ 1.2", INSIDE: "127.0.0.1", CLEAR: "TCP", AWAY: "–"}


def _browsers(_tenant: Tenant | None) -> Outcome:
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
    if not safe_cookies or "'unsafe-inline'" in figures["scripts_from"]:
        return Outcome("loosened", figures)
    hsts = figures["hsts_days"] or _is_local(urlsplit(settings.PUBLIC_URL).hostname or "")
    safe = figures["tls_at_proxy"] and figures["cookies_secure"] and hsts
    return Outcome("" if safe else "no_tls", figures)


def _hops(_tenant: Tenant | None) -> Outcome:
    redis = _transport(settings.REDIS_URL, "rediss")
    hops = {"database": _database(), "redis": redis, "grpc": _grpc()}
    engines = [_transport(engine.config.url, "https") for engine in served_by()]
    for kind in (TLS, INSIDE, CLEAR):
        hops[f"engines_{kind}"] = engines.count(kind)
    clear = CLEAR in hops.values() or hops[f"engines_{CLEAR}"]
    return Outcome("clear" if clear else "", hops)


def _ports(_tenant: Tenant | None) -> Outcome:
    """Probe each port of the platform that can be reached from here, and show its answers."""
    ports = own_ports()
    kinds_of: dict[str, str] = {**probe_all(ports)}
    for port in ports:
        if kinds_of[port.name] == CLEAR and port.speaks != "http" and _is_local(port.host):
            kinds_of[port.name] = INSIDE
    kinds = (TLS13, OLDER, INSIDE, CLEAR, AWAY)
    figures: dict[str, Any] = {
        f"ports_{kind}": list(kinds_of.values()).count(kind) for kind in kinds
    }
    figures["found"] = [f"{name}: {_WORDS[kind]}" for name, kind in kinds_of.items()]
    clear = settings.TLS_CERTIFICATE and figures[f"ports_{CLEAR}"]  # else "browsers" reports it
    return Outcome("not_tls13" if clear or figures[f"ports_{OLDER}"] else "", figures)


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
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] == safe:
        return TLS
    return INSIDE if parts.scheme == "unix" or _is_local(parts.hostname or "") else CLEAR


def _is_local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


CHECKS = (
    Check(
        "browsers",
        Text("TLS, cookies and headers towards browsers", "面向浏览器的 TLS、Cookie 与响应头"),
        Text(
            "Reads the settings in force. Which versions of TLS are taken is asked of the ports "
            "themselves, by another check.",
            "读取生效的设置。接受哪些 TLS 版本由另一项检查直接向端口探测。",
        ),
        _browsers,
        {
            "no_tls": Problem(
                Text(
                    "This installation is reached without TLS.",
                    "本安装未通过 TLS 提供访问。",
                ),
                Text(
                    "Set FOREBAY_TLS=on, or put a reverse proxy with TLS 1.3 before it and set "
                    "FOREBAY_PUBLIC_URL=https://…: cookies and HSTS follow by themselves.",
                    "请设置 FOREBAY_TLS=on，或在前面部署支持 TLS 1.3 的反向代理并设置 "
                    "FOREBAY_PUBLIC_URL=https://…；Cookie 与 HSTS 将自动生效。",
                ),
            ),
            "loosened": Problem(
                Text(
                    "The protection of cookies or scripts has been loosened.",
                    "Cookie 或脚本的保护被放宽。",
                ),
                Text(
                    "Put the shipped settings of cookies and of the content security policy back.",
                    "请恢复 Cookie 与内容安全策略的出厂设置。",
                ),
            ),
        },
        Reach.GENERAL,
    ),
    Check(
        "ports",
        Text("TLS 1.3 at each port, tried out", "逐端口实测 TLS 1.3"),
        Text(
            "Connects to the platform's own ports (web, gRPC, metrics, PostgreSQL, Redis) three "
            "times each: with TLS 1.3, with TLS 1.2 and older, and in clear.",
            "对平台自身的各端口（Web、gRPC、指标、PostgreSQL、Redis）各连接三次："
            "使用 TLS 1.3、使用 TLS 1.2 及更早版本、使用明文。",
        ),
        _ports,
        {
            "not_tls13": Problem(
                Text(
                    "A port answers to an older TLS, or in clear.",
                    "有端口接受旧版 TLS 或明文。",
                ),
                Text(
                    "docs/operations/tls.md says for each port how it speaks TLS 1.3 alone.",
                    "各端口如何只使用 TLS 1.3，见 docs/operations/tls.md。",
                ),
            )
        },
        Reach.GENERAL,
    ),
    Check(
        "hops",
        Text("Connections without a proxy before them", "不经代理的连接"),
        Text(
            "Asks the open database connection whether it is in TLS, and looks at the addresses "
            "of Redis and of each engine, and at what gRPC listens with. Within one machine "
            "there is no wire.",
            "向已打开的数据库连接查询是否使用 TLS，并检查 Redis 与各引擎的地址、"
            "以及 gRPC 的监听方式；"
            "同一台机器内无网络传输。",
        ),
        _hops,
        {
            "clear": Problem(
                Text(
                    "A connection to another machine is not in TLS.",
                    "存在未使用 TLS 的跨机器连接。",
                ),
                Text(
                    "Use sslmode=verify-full in DATABASE_URL, rediss:// in REDIS_URL, https:// "
                    "for engines, FOREBAY_GRPC_CERTIFICATE for gRPC.",
                    "在 DATABASE_URL 中使用 sslmode=verify-full，REDIS_URL 使用 rediss://，"
                    "引擎使用 https://，gRPC 使用 FOREBAY_GRPC_CERTIFICATE。",
                ),
            )
        },
        Reach.GENERAL,
    ),
)
