"""`syslog://host:514` (UDP) and `syslog+tcp://host:601`: one message for each checkpoint.

RFC 5424; over TCP with octet counting (RFC 6587). UDP does not tell what was lost: take TCP, or a
second witness.
"""

import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
_LOG_AUDIT_NOTICE = 13 * 8 + 5


class Syslog:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("the URL names no host")
        self._counted = parts.scheme.endswith("+tcp")
        self._address = parts.hostname, parts.port or (601 if self._counted else 514)

    def hear(self, records: list[bytes]) -> None:
        messages = [self._message(record) for record in records]
        if self._counted:
            self._over_tcp(messages)
        else:
            self._over_udp(messages)

    def _message(self, record: bytes) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        host = socket.gethostname()[:255] or "-"
        return f"<{_LOG_AUDIT_NOTICE}>1 {now} {host} forebay - checkpoint - ".encode() + record

    def _over_tcp(self, messages: list[bytes]) -> None:
        with socket.create_connection(self._address, TIMEOUT_S) as line:
            line.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))

    def _over_udp(self, messages: list[bytes]) -> None:
        family, kind, *_, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as line:
            line.settimeout(TIMEOUT_S)
            for message in messages:
                line.sendto(message, address)
