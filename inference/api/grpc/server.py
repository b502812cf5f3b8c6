"""The gRPC server itself: its bounds, its port and TLS, health and reflection.

It knows no service. TLS is version 1.3 only, and by option only for clients with a certificate.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from inference.api.grpc.keyless import Health, Keyless

Option = tuple[str, int]
STREAMS_PER_CONNECTION = 100  # open calls; further ones wait at the client
CALLS = 10_000  # open calls of this process; further ones are refused with RESOURCE_EXHAUSTED
MINUTE_MS = 60_000
UNREAD = 16 * 1024  # bytes
# Bounds of what a client may do.
BOUNDS: list[Option] = [
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
    ("grpc.http.overload_protection", 0),  # it would refuse before it announces the bound
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # Pings of clients that keep their line open; the third that comes too soon ends it.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 2),
    # Dead peers are detected, and no connection stays for ever.
    ("grpc.keepalive_time_ms", 2 * MINUTE_MS),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 5 * MINUTE_MS),
    ("grpc.max_connection_age_ms", 30 * MINUTE_MS),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Bytes that are received of a message that nobody reads yet.
    ("grpc.http2.lookahead_bytes", UNREAD),
    ("grpc.http2.bdp_probe", 0),
    # No compression: a small message could unpack to any size.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.so_reuseport", 0),  # a busy port is an error, and no other process may join
]


class Server:
    """The server. `largest` bounds the bytes of a request, `connections` the open connections.

    Running calls get `grace_s` seconds when their connection has reached its age.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        names: Sequence[str],
        *,
        largest: int,
        grace_s: int,
        connections: int,
        reflected: bool = False,
    ) -> None:
        bounds = [
            *BOUNDS,
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_connection_age_grace_ms", grace_s * 1000),
            ("grpc.max_allowed_incoming_connections", connections),
        ]
        self._server = grpc.aio.server(options=bounds, maximum_concurrent_rpcs=CALLS)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._health = Health(("", *names))
        keyless: Any = Keyless(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, keyless)
        if reflected:
            shown = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflected_by = reflection.aio.ReflectionServicer(service_names=shown)
            add_reflection: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
            add_reflection(reflected_by, keyless)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen, and return the port. Raises RuntimeError if it is busy."""
        if credentials:
            return self._server.add_secure_port(address, credentials)
        return self._server.add_insecure_port(address)

    async def start(self) -> None:
        await self._server.start()

    def works(self, *, well: bool) -> None:
        """Set the state that the health service reports."""
        self._health.set_state(well=well)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls; running ones have `grace_s` seconds to end."""
        self._health.end()
        await self._server.stop(grace_s)


# TLS ----------------------------------------------------------------------------------------------
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
