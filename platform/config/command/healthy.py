"""`forebay healthy`: the health check of a container, which asks the Forebay inside.

Its role is that of process 1, or the word after `healthy`. The web process is asked for `forebay
run`, and where process 1 is none of ours. A web process answers /livez, the gRPC server takes
connections, workers and jobs take them where Prometheus asks; a beat only has to run.
"""

import http.client
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from config import configuration

PATIENCE_S = 4
_OURS = (b"config.", b"forebay", b"manage.py")  # in the command lines of our processes


def main(arguments: Sequence[str]) -> int:
    role = arguments[0] if arguments else _role(_process_1())
    try:
        configuration.apply(os.environ)
        problem = _LOOKS.get(role, lambda: "")()
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = str(error) or type(error).__name__
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


def _web() -> str:
    port = int(os.environ.get("FOREBAY_PORT") or 8000)
    link = http.client.HTTPConnection(_host(), port, timeout=PATIENCE_S)
    if os.environ.get("FOREBAY_TLS") == "on" or os.environ.get("FOREBAY_TLS_CERTIFICATE"):
        # A check of this same container: the certificate's identity does not matter.
        trusting = ssl._create_unverified_context()  # noqa: S323  # of this process, by a name that its certificate may lack
        link = http.client.HTTPSConnection(_host(), port, timeout=PATIENCE_S, context=trusting)
    link.request("GET", "/livez")
    answer = link.getresponse()
    return "" if answer.status == 200 else f"/livez answers {answer.status}"


def _grpc() -> str:
    return _takes_connections(_host(), int(os.environ.get("FOREBAY_GRPC_PORT") or 50051))


def _figures() -> str:
    port = int(os.environ.get("FOREBAY_METRICS_PORT") or 0)
    return _takes_connections(_host("FOREBAY_METRICS_HOST"), port) if port else ""


def _takes_connections(host: str, port: int) -> str:
    socket.create_connection((host, port), timeout=PATIENCE_S).close()
    return ""


_LOOKS = {"web": _web, "grpc": _grpc, "worker": _figures, "jobs": _figures}


def _host(variable: str = "FOREBAY_HOST") -> str:
    host = os.environ.get(variable) or "127.0.0.1"
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
