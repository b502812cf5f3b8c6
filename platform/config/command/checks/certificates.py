"""Certificates of our own ports: whole, of the key beside them, and not near their end."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.command.checks.finding import Finding, fail, ok, warn
from config.environment import EnvironmentProblem
from config.tls import configured_files
from config.tls.key_pair import BadCertificate, read, read_authorities

SOON = timedelta(days=14)


def findings() -> Iterator[Finding]:
    """Yield a finding for each certificate. Wrong variables are reported by settings.py."""
    with suppress(EnvironmentProblem):
        yield from _files()


def _files() -> Iterator[Finding]:
    own = configured_files.own_files()
    if own[0]:
        yield _pair("certificate", own)
    if (of_grpc := configured_files.grpc_files(own)) != own:
        yield _pair("certificate of gRPC", of_grpc)
    for name in (configured_files.GRPC_CLIENTS, configured_files.METRICS_CLIENTS):
        if path := configured_files.client_authorities(name, own):
            yield _authorities(name, path)


def _pair(subject: str, files: configured_files.Files) -> Finding:
    if configured_files.remedy(files) and not Path(files[0]).exists():
        return warn(subject, "`forebay run` makes one; others need it before: forebay certificates")
    try:
        ends = read(*files).leaf.not_valid_after_utc
    except BadCertificate as problem:
        return fail(subject, str(problem))
    says = f"{files[0]} until {ends:%F %R} UTC"
    return (
        warn(subject, f"{says}: renew it") if ends - datetime.now(UTC) < SOON else ok(subject, says)
    )


def _authorities(name: str, path: str) -> Finding:
    try:
        read_authorities(path)
    except BadCertificate as problem:
        return fail(name, str(problem))
    return ok(name, f"clients show a certificate of {path}")
