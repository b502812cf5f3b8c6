"""Our ports: free, or held by a Forebay that runs already."""

import asyncio
import os
from collections.abc import Iterator

from config.command.checks.finding import Finding, fail, ok
from config.supervisor import options, ports
from config.supervisor.http_probe import get, speaks_http2
from config.supervisor.options import Options
from config.supervisor.screen import Problem

_HANDED_OVER = "LISTEN_FDS"  # by systemd's socket unit: its port is taken, by us


def findings() -> Iterator[Finding]:
    told = options.read()
    if told.has("web"):
        yield _web(told)
    if told.has("grpc") and told.grpc_port:
        yield _grpc(told, told.grpc_port)


def _web(told: Options) -> Finding:
    found = _port("port", told.host, told.port, "FOREBAY_PORT")
    if found.state == "ok" or os.environ.get(_HANDED_OVER):
        return found
    answer = asyncio.run(get(told.near_host, told.port, "/livez", tls=told.tls))
    if answer.status == 200:
        return ok("port", f"{told.port}: a Forebay answers there already")
    return found


def _grpc(told: Options, port: int) -> Finding:
    finding = _port("gRPC port", told.host, port, "FOREBAY_GRPC_PORT")
    if finding.state != "ok" and speaks_http2(told.near_host, port):
        return ok("gRPC port", f"{port}: a gRPC server answers there already")
    return finding


def _port(subject: str, host: str, port: int, variable: str) -> Finding:
    try:
        ports.require_free(host, port, variable)
    except Problem as problem:
        return fail(subject, str(problem))
    return ok(subject, f"{port} on {host} is free")
