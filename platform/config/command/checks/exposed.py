"""Answers that others on the network could read: without a sign-in, or in clear."""

import os
from collections.abc import Iterator
from contextlib import suppress

from config.command.checks.finding import Finding, warn
from config.environment import EnvironmentProblem
from config.tls import configured_files

_HERE = ("127.0.0.1", "localhost", "::1")


def findings() -> Iterator[Finding]:
    """Yield a warning for each exposed answer. Wrong variables are reported by settings.py."""
    with suppress(EnvironmentProblem):
        yield from _exposed(configured_files.own_files())


def _exposed(own: configured_files.Files) -> Iterator[Finding]:
    if _is_open("FOREBAY_METRICS_PORT", "FOREBAY_METRICS_HOST") and not (
        os.environ.get("FOREBAY_METRICS_TOKEN_FILE")
        or configured_files.client_authorities(configured_files.METRICS_CLIENTS, own)
    ):
        yield warn(
            "metrics",
            "who reaches their ports may read them: set FOREBAY_METRICS_TOKEN_FILE",
        )
    if _has_unnamed_proxy(own):
        yield warn(
            "proxies",
            "people come by https and no port here has TLS: name the proxy that has it in "
            "FOREBAY_WEB_PROXIES, or all people count as its one address",
        )
    if _is_open("FOREBAY_GRPC_PORT", "FOREBAY_HOST") and not configured_files.grpc_files(own)[0]:
        yield warn(
            "gRPC", "keys and prompts come in clear: set FOREBAY_TLS=on, or let TLS end before it"
        )


def _has_unnamed_proxy(own: configured_files.Files) -> bool:
    public = os.environ.get("FOREBAY_PUBLIC_URL", "")
    proxies = os.environ.get("FOREBAY_WEB_PROXIES", "").strip()
    return public.startswith("https://") and not (own[0] or proxies)


def _is_open(port: str, host: str) -> bool:
    """Returns whether other machines reach this port."""
    address = os.environ.get(host) or _HERE[0]
    return os.environ.get(port, "0") not in ("", "0") and address not in _HERE
