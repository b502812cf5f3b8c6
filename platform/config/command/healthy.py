"""`forebay healthy`: the health check of a container, which asks the Forebay inside.

Its role is that of process 1, or the word after `healthy`. The web process is asked for `forebay
run`, and where process 1 is none of ours. A web process answers /livez, the gRPC server takes
connections, workers and jobs take them where Prometheus asks; a beat only has to run.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from config import configuration
from config.supervisor.http_probe import answers, get

PATIENCE_S = 4
# In the command lines of our processes. Celery gives its own a title.
_OURS = (b"config.", b"forebay", b"manage.py", b"[celery")


def healthy(arguments: Sequence[str]) -> int:
    role = arguments[0] if arguments else _role(_process_1())
    try:
        configuration.apply(os.environ)
        problem = asyncio.run(_problem(role))
    except ValueError as error:
        problem = str(error)
    if problem:
        print(f"{role}: {problem}", file=sys.stderr)
    return int(bool(problem))


def _process_1() -> bytes:
    return Path("/proc/1/cmdline").read_bytes()


def _role(command: bytes) -> str:
    for role in ("web", "grpc"):
        if f"config.{role}_server".encode() in command:
            return role
    if b"worker" in command:
        return "worker"
    is_ours = any(name in command for name in _OURS)
    return "other" if is_ours and b"config.supervisor" not in command else "web"


async def _problem(role: str) -> str:
    """Returns what is wrong with the process, "" for nothing."""
    if role == "web":
        port = int(os.environ.get("FOREBAY_PORT") or 8000)
        tls = os.environ.get("FOREBAY_TLS") == "on" or os.environ.get("FOREBAY_TLS_CERTIFICATE")
        answer = await get(_host(), port, "/livez", PATIENCE_S, tls=bool(tls))
        return "" if answer.status == 200 else f"/livez answers {answer.status or 'nothing'}"
    if role == "grpc":
        host, port = _host(), int(os.environ.get("FOREBAY_GRPC_PORT") or 50051)
    elif role in ("worker", "jobs"):
        host = _host("FOREBAY_METRICS_HOST")
        port = int(os.environ.get("FOREBAY_METRICS_PORT") or 0)
    else:
        return ""
    if port and not await answers(host, port, PATIENCE_S):
        return f"{host}:{port} takes no connections"
    return ""


def _host(variable: str = "FOREBAY_HOST") -> str:
    host = os.environ.get(variable) or "127.0.0.1"
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
