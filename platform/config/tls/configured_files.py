"""The files of TLS that the environment names: docs/operations/tls.md."""

import os
from pathlib import Path

from config import environment
from config.environment import EnvironmentProblem, has_tls, variable

FOLDER = environment.HOME / "tls"  # `make run` and `forebay certificates` write there
GRPC_CLIENTS, METRICS_CLIENTS = "FOREBAY_GRPC_CLIENT_CA", "FOREBAY_METRICS_CLIENT_CA"
Files = tuple[str, str]  # certificate and key; both "" where there is no TLS


def own_files() -> Files:
    """Returns certificate and key of all ports that have none of their own.

    Raises EnvironmentProblem.
    """
    on = has_tls()
    certificate, key = variable("FOREBAY_TLS_CERTIFICATE"), variable("FOREBAY_TLS_KEY")
    if bool(certificate) != bool(key):
        present, missing = ("CERTIFICATE", "KEY") if certificate else ("KEY", "CERTIFICATE")
        raise EnvironmentProblem(f"FOREBAY_TLS_{present} is set: set FOREBAY_TLS_{missing} as well")
    if certificate or not on:
        return certificate, key
    return str(FOLDER / "server.crt"), str(FOLDER / "server.key")


def grpc_files(own: Files) -> Files:
    paths = [os.environ.get(f"FOREBAY_GRPC_{name}", "") for name in ("CERTIFICATE", "PRIVATE_KEY")]
    if any(paths) and not all(paths):
        raise EnvironmentProblem("set FOREBAY_GRPC_CERTIFICATE and FOREBAY_GRPC_PRIVATE_KEY both")
    return (paths[0], paths[1]) if any(paths) else own


def client_authorities(name: str, own: Files) -> str:
    """Returns the file of the authorities for clients' certificates, of gRPC or of metrics.

    It is "" if clients need none. Raises EnvironmentProblem.
    """
    path = os.environ.get(name, "")
    if path and not (grpc_files(own) if name == GRPC_CLIENTS else own)[0]:
        raise EnvironmentProblem(f"{name} needs TLS: set FOREBAY_TLS=on as well")
    return path


def remedy(files: Files) -> str:
    """Returns a hint to append where our own files are wrong; "" for configured ones."""
    if files[0] != str(FOLDER / "server.crt"):
        return ""
    return (
        "; set FOREBAY_TLS_CERTIFICATE and FOREBAY_TLS_KEY, or make them: "
        "forebay certificates server HOST …"
    )


def own_authority() -> Path:
    return FOLDER / "ca.crt"
