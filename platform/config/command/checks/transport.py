"""TLS of our own ports: certificates, and what others on the network could read without it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.command.checks.finding import Finding, fail, ok, warn
from config.environment import EnvironmentProblem
from config.tls import configured_files
from config.tls.configured_files import Files, client_authorities, grpc_files, own_files
from config.tls.key_pair import BadCertificate, read, read_authorities

SOON = timedelta(days=14)
_HERE = ("127.0.0.1", "localhost", "::1")


def certificates() -> Iterator[Finding]:
    """Yield a finding for each certificate. Wrong variables are reported by settings.py."""
    with suppress(EnvironmentProblem):
        own = own_files()
        if own[0]:
            yield _pair("certificate", own)
        if (of_grpc := grpc_files(own)) != own:
            yield _pair("certificate of gRPC", of_grpc)
        for name in (configured_files.GRPC_CLIENTS, configured_files.METRICS_CLIENTS):
            if path := client_authorities(name, own):
                yield _authorities(name, path)


def _pair(subject: str, files: Files) -> Finding:
    if configured_files.remedy(files) and not Path(files[0]).exists():
        return warn(subject, "`forebay run` makes one; others need it before: forebay certificates")
    try:
        ends = read(*files).leaf.not_valid_after_utc
    except BadCertificate as problem:
        return fail(subject, str(problem))
    says = f"{files[0]} until {ends:%F %R} UTC"
    if ends - datetime.now(UTC) < SOON:
        return warn(subject, f"{says}: renew it")
    return ok(subject, says)


def _authorities(name: str, path: str) -> Finding:
    try:
        read_authorities(path)
    except BadCertificate as problem:
        return fail(name, str(problem))
    return ok(name, f"clients show a certificate of {path}")


def exposed() -> Iterator[Finding]:
    """Yield a warning for each answer that is open to others, without a sign-in or in clear."""
    with suppress(EnvironmentProblem):
        own = own_files()
        if _is_open("FOREBAY_METRICS_PORT", "FOREBAY_METRICS_HOST") and not (
            os.environ.get("FOREBAY_METRICS_TOKEN_FILE")
            or client_authorities(configured_files.METRICS_CLIENTS, own)
        ):
            yield warn(
                "metrics", "who reaches their ports may read them: set FOREBAY_METRICS_TOKEN_FILE"
            )
        is_https = os.environ.get("FOREBAY_PUBLIC_URL", "").startswith("https://")
        if is_https and not (own[0] or os.environ.get("FOREBAY_WEB_PROXIES", "").strip()):
            yield warn(
                "proxies",
                "people come by https and no port here has TLS: name the proxy that has it in "
                "FOREBAY_WEB_PROXIES, or all people count as its one address",
            )
        if _is_open("FOREBAY_GRPC_PORT", "FOREBAY_HOST") and not grpc_files(own)[0]:
            yield warn(
                "gRPC",
                "keys and prompts come in clear: set FOREBAY_TLS=on, or let TLS end before it",
            )


def _is_open(port: str, host: str) -> bool:
    """Returns whether other machines reach this port."""
    address = os.environ.get(host) or _HERE[0]
    return os.environ.get(port, "0") not in ("", "0") and address not in _HERE
