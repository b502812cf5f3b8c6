"""TLS of the gRPC port, 1.3 and nothing older; by option only for clients with a certificate."""

from pathlib import Path

import grpc


def credentials(certificate: str, key: str, clients: str = "") -> grpc.ServerCredentials:
    """Of PEM files. `clients`: the authorities whose certificates clients must show.

    Raises OSError, ValueError.
    """
    roots = Path(clients).read_bytes() if clients else None
    pair = Path(key).read_bytes(), Path(certificate).read_bytes()
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=bool(clients))
