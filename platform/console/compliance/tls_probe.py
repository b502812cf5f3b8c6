"""A probe that asks a port, in bounded time, whether it speaks TLS 1.3 and nothing else.

It checks no certificate, which is the business of those who connect: it shows which versions get an
answer.
"""

import socket
import ssl
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

PATIENCE_S = 2.0  # of each step
AT_ONCE = 8
Verdict = Literal["tls13", "older_tls", "clear", "away"]
TLS13: Verdict = "tls13"  # nothing older, and nothing in clear
OLDER: Verdict = "older_tls"
CLEAR: Verdict = "clear"
AWAY: Verdict = "away"  # not reachable from here

_ALERT = 0x15  # the record by which TLS refuses
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL's protocol, 55.2.10


@dataclass(frozen=True, slots=True)
class Port:
    name: str
    host: str
    port: int
    speaks: Literal["http", "postgres", "redis"] = "http"


def probe_all(ports: Iterable[Port]) -> dict[str, Verdict]:
    """Returns the verdicts by name."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        port_list = list(ports)
        return dict(
            zip((each.name for each in port_list), threads.map(probe, port_list), strict=True)
        )


def probe(port: Port) -> Verdict:
    try:
        if _answers_in_clear(port):
            return CLEAR
        any_older = ssl.TLSVersion.MINIMUM_SUPPORTED
        if _completes_handshake(port, oldest=any_older, newest=ssl.TLSVersion.TLSv1_2):
            return OLDER
    except (OSError, ValueError):
        return AWAY
    newest = ssl.TLSVersion.TLSv1_3
    return TLS13 if _completes_handshake(port, oldest=newest, newest=newest) else AWAY


def _completes_handshake(port: Port, *, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> bool:
    """Returns whether the port completes a handshake. Raises OSError if it does not connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Weak ciphers are offered too, so that a refusal is about the version.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = oldest, newest
    if port.speaks == "http":
        context.set_alpn_protocols(["h2", "http/1.1"])
    with _connect(port) as plain:
        try:
            if port.speaks == "postgres":
                plain.sendall(_SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return False
            with context.wrap_socket(plain, server_hostname=port.host) as secured:
                return secured.version() is not None
        except OSError:
            return False


def _answers_in_clear(port: Port) -> bool:
    """Raises OSError if the port takes no connection."""
    with _connect(port) as plain:
        try:
            plain.sendall(_clear_request(port))
            answer = plain.recv(64)
        except OSError:
            return False
    if port.speaks == "postgres":
        return answer[:1] == b"R"  # asks for authentication; a TLS-only server answers an error
    return bool(answer) and answer[0] != _ALERT


def _clear_request(port: Port) -> bytes:
    if port.speaks == "redis":
        return b"PING\r\n"
    if port.speaks == "postgres":
        parameters = b"user\0forebay\0database\0forebay\0\0"
        return struct.pack("!II", 8 + len(parameters), 196608) + parameters
    return _HTTP2


def _connect(port: Port) -> socket.socket:
    return socket.create_connection((port.host, port.port), timeout=PATIENCE_S)
