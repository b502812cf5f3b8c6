"""Which files of TLS the environment names: docs/operations/tls.md."""

import os
from pathlib import Path

from config import environment
from config.environment import EnvironmentProblem, found, has_tls

FOLDER = environment.HOME / "tls"  # of what `make run` and `forebay certificates` make
GRPC_CLIENTS, METRICS_CLIENTS = "FOREBAY_GRPC_CLIENT_CA", "FOREBAY_METRICS_CLIENT_CA"
Files = tuple[str, str]  # certificate and key; both "" where there is no TLS


def own_files() -> Files:
    """Of all ports that have none of their own."""
    on = has_tls()
    certificate, key = found("FOREBAY_TLS_CERTIFICATE"), found("FOREBAY_TLS_KEY")
    if bool(certificate) != bool(key):
        there, lacks = ("CERTIFICATE", "KEY") if certificate else ("KEY", "CERTIFICATE")
        raise EnvironmentProblem(f"FOREBAY_TLS_{there} is set: set FOREBAY_TLS_{lacks} as well")
    if certificate or not on:
        return certificate, key
    return str(FOLDER / "server.crt"), str(FOLDER / "server.key")


def grpc_files(own: Files) -> Files:
    named = [os.environ.get(f"FOREBAY_GRPC_{name}", "") for name in ("CERTIFICATE", "PRIVATE_KEY")]
    if any(named) and not all(named):
        raise EnvironmentProblem("set FOREBAY_GRPC_CERTIFICATE and FOREBAY_GRPC_PRIVATE_KEY both")
    return (named[0], named[1]) if any(named) else own


def client_authorities(name: str, own: Files) -> str:
    """Whose certificates clients of gRPC or of metrics must show; "" for none."""
    path = os.environ.get(name, "")
    if path and not (grpc_files(own) if name == GRPC_CLIENTS else own)[0]:
        raise EnvironmentProblem(f"{name} needs TLS: set FOREBAY_TLS=on as well")
    return path


def what_to_do(files: Files) -> str:
    """Where they are wrong, beside why."""
    if files[0] != str(FOLDER / "server.crt"):
        return ""
    return (
        "; set FOREBAY_TLS_CERTIFICATE and FOREBAY_TLS_KEY, or make them: "
        "forebay certificates server HOST …"
    )


def own_authority() -> Path:
    return FOLDER / "ca.crt"
