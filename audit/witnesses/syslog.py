"""`syslog://host:514` (UDP), `syslog+tcp://host:601` and `syslog+tls://host:6514`: one message for
each checkpoint.

RFC 5424; over TCP with octet counting (RFC 6587), in TLS by RFC 5425. UDP does not tell what was
lost: take TLS, or a second witness.
"""

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from audit import outgoing_tls

TIMEOUT_S = 3.0
PORTS = {"syslog": 514, "syslog+tcp": 601, "syslog+tls": 6514}
Address = tuple[str, int]
_LOG_AUDIT_NOTICE = 13 * 8 + 5


class Syslog:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("the URL names no host")
        how = {"syslog": _over_udp, "syslog+tcp": _over_tcp, "syslog+tls": _over_tls}
        self._send = how[parts.scheme]
        self._address = parts.hostname, parts.port or PORTS[parts.scheme]

    def hear(self, records: list[bytes]) -> None:
        self._send(self._address, [self._message(record) for record in records])

    def _message(self, record: bytes) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        host = socket.gethostname()[:255] or "-"
        return f"<{_LOG_AUDIT_NOTICE}>1 {now} {host} forebay - checkpoint - ".encode() + record


def _over_udp(to: Address, messages: list[bytes]) -> None:
    family, kind, *_, address = socket.getaddrinfo(*to, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as line:
        line.settimeout(TIMEOUT_S)
        for message in messages:
            line.sendto(message, address)


def _over_tcp(to: Address, messages: list[bytes]) -> None:
    with socket.create_connection(to, TIMEOUT_S) as line:
        line.sendall(_counted(messages))


def _over_tls(to: Address, messages: list[bytes]) -> None:
    tls = outgoing_tls.context(to[0])
    with (
        socket.create_connection(to, TIMEOUT_S) as plain,
        tls.wrap_socket(plain, server_hostname=to[0]) as line,
    ):
        line.sendall(_counted(messages))
        _take_leave(line)


def _take_leave(line: ssl.SSLSocket) -> None:
    """In TLS 1.3 whoever refuses our certificate says so after all of that was sent."""
    line.settimeout(0)
    try:
        line.unwrap()
    except ssl.SSLWantReadError:
        line.settimeout(TIMEOUT_S)
        with suppress(TimeoutError):  # not everybody answers
            line.recv(1)
    else:  # OpenSSL tells a refusal and a goodbye apart in reading only
        raise OSError("it hung up before it had heard everything")


def _counted(messages: list[bytes]) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)
