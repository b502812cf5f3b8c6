"""TLS of the gRPC port: version 1.3 only, and by option only for clients with a certificate."""

from collections.abc import Callable
from typing import NamedTuple

import grpc


class Secrets(NamedTuple):
    """PEM texts."""

    certificate: bytes
    key: bytes
    clients: bytes | None = None  # authorities of client certificates, if clients need one


def credentials(current: Callable[[], Secrets]) -> grpc.ServerCredentials:
    """Returns credentials that follow `current`, which gRPC calls at each connection in a thread.

    Whether clients need a certificate is fixed by the first call.
    """
    secrets = current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal secrets
        before, secrets = secrets, current()
        return None if secrets == before else _configuration(secrets)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(secrets),
        changed,  # type: ignore[arg-type]  # None is no change, as its documentation says
        require_client_authentication=secrets.clients is not None,
    )


def _configuration(secrets: Secrets) -> grpc.ServerCertificateConfiguration:
    pair = secrets.key, secrets.certificate
    return grpc.ssl_server_certificate_configuration([pair], secrets.clients)
