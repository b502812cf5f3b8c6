"""Syslog: `syslog://host:514` (UDP), `syslog+tcp://host:601` and `syslog+tls://host:6514`.

Sends one message per checkpoint: RFC 5424; over TCP with octet counting (RFC 6587), over TLS by RFC
5425. UDP does not report losses: use TLS, or a second witness.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from infrastructure import outgoing_tls

TIMEOUT_S = 3.0
PORTS = {"syslog": 514, "syslog+tcp": 601, "syslog+tls": 6514}
Address = tuple[str, int]
_LOG_AUDIT_NOTICE = 13 * 8 + 5


def hear(url: str, records: list[bytes]) -> None:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the URL names no host")
    senders = {"syslog": _over_udp, "syslog+tcp": _over_tcp, "syslog+tls": _over_tls}
    address = parts.hostname, parts.port or PORTS[parts.scheme]
    senders[parts.scheme](address, [_message(record) for record in records])


def _message(record: bytes) -> bytes:
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
        line.sendall(_framed(messages))


def _over_tls(to: Address, messages: list[bytes]) -> None:
    """Sends over TLS by OpenSSL's memory buffers.

    OpenSSL's sockets cannot send a close notification without waiting for the peer's, and then a
    refusal looks like a normal end.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = outgoing_tls.context(to[0]).wrap_bio(incoming, outgoing, server_hostname=to[0])
    with socket.create_connection(to, TIMEOUT_S) as line:
        _run_step(talk.do_handshake, line, incoming, outgoing)
        talk.write(_framed(messages))
        with suppress(ssl.SSLWantReadError):
            talk.unwrap()
        line.sendall(outgoing.read())
        with suppress(OSError):  # the peer may have reset the line: its last message is read below
            line.shutdown(socket.SHUT_WR)  # some peers close only after the end of TCP
        # In TLS 1.3 a peer that refuses our certificate reports it only after all of that. Others
        # send a close notification, close, or are silent.
        with suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError, TimeoutError):
            _run_step(lambda: talk.read(1), line, incoming, outgoing)


def _run_step(
    step: Callable[[], object],
    line: socket.socket,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
) -> None:
    done = False
    while not done:
        with suppress(ssl.SSLWantReadError):
            step()
            done = True
        if outgoing_bytes := outgoing.read():  # a closed line would refuse even nothing
            line.sendall(outgoing_bytes)
        if not done:
            if incoming_bytes := line.recv(16384):
                incoming.write(incoming_bytes)
            else:
                incoming.write_eof()


def _framed(messages: list[bytes]) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)
