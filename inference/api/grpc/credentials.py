"""TLS of the gRPC port, 1.3 and nothing older; by option only for clients with a certificate."""

from collections.abc import Callable
from typing import NamedTuple

import grpc


class Secrets(NamedTuple):
    """In PEM."""

    certificate: bytes
    key: bytes
    clients: bytes | None = None  # the authorities whose certificates clients must show


def credentials(current: Callable[[], Secrets]) -> grpc.ServerCredentials:
    """`current` is asked at each new connection, by a thread of gRPC's: what it says then holds.

    Whether clients need a certificate is said once, by the first.
    """
    known = current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal known
        before, known = known, current()
        return None if known == before else _configuration(known)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(known),
        changed,  # type: ignore[arg-type]  # None is no change, as its documentation says
        require_client_authentication=known.clients is not None,
    )


def _configuration(secrets: Secrets) -> grpc.ServerCertificateConfiguration:
    pair = secrets.key, secrets.certificate
    return grpc.ssl_server_certificate_configuration([pair], secrets.clients)
