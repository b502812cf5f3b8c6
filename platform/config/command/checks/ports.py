"""Our ports: free, or held by a Forebay that runs already."""

import asyncio
import os
from collections.abc import Iterator

from config.command.checks.finding import Finding, fail, ok
from config.supervisor import options, ports
from config.supervisor.http_probe import get, speaks_http2
from config.supervisor.options import RunOptions
from config.supervisor.terminal import RunProblem

_INHERITED = "LISTEN_FDS"  # systemd's socket unit listens for us: its port is in use


def findings() -> Iterator[Finding]:
    configured = options.read()
    if configured.has("web"):
        yield _web(configured)
    if configured.has("grpc") and configured.grpc_port:
        yield _grpc(configured, configured.grpc_port)


def _web(configured: RunOptions) -> Finding:
    finding = _port("port", configured.host, configured.port, "FOREBAY_PORT")
    if finding.state == "ok" or os.environ.get(_INHERITED):
        return finding
    answer = asyncio.run(get(configured.near_host, configured.port, "/livez", tls=configured.tls))
    if answer.status == 200:
        return ok("port", f"{configured.port}: a Forebay answers there already")
    return finding


def _grpc(configured: RunOptions, port: int) -> Finding:
    finding = _port("gRPC port", configured.host, port, "FOREBAY_GRPC_PORT")
    if finding.state != "ok" and speaks_http2(configured.near_host, port):
        return ok("gRPC port", f"{port}: a gRPC server answers there already")
    return finding


def _port(subject: str, host: str, port: int, variable: str) -> Finding:
    try:
        ports.require_free(host, port, variable)
    except RunProblem as problem:
        return fail(subject, str(problem))
    return ok(subject, f"{port} on {host} is free")
