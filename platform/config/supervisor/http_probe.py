"""One GET, or one connection, by the standard library alone, to learn whether a server is up."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

PATIENCE_S = 2.0


class ProbeAnswer(NamedTuple):
    status: int  # 0: no answer
    body: str


async def get(
    host: str,
    port: int,
    path: str,
    patience: float = PATIENCE_S,
    *,
    tls: bool = False,
    headers: Mapping[str, str] | None = None,
) -> ProbeAnswer:
    """Send a GET, and return the answer; its status is 0 if none comes within `patience` seconds.

    `tls` is for a process of ours, whose certificate is not checked.
    """
    lines = [f"GET {path} HTTP/1.0", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    context = _unverified() if tls else None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            with closing(writer):
                writer.write("\r\n".join([*lines, "", ""]).encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return ProbeAnswer(int(head.split(maxsplit=2)[1]), body.decode(errors="replace"))
    except (OSError, TimeoutError, ValueError, IndexError):
        return ProbeAnswer(0, "")


async def answers(host: str, port: int, patience: float = PATIENCE_S) -> bool:
    """Returns whether anybody takes connections there."""
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def speaks_http2(host: str, port: int) -> bool:
    """Returns whether a server speaks HTTP/2 there, as gRPC does, over TLS or in clear. Blocks."""
    return _agrees_on_h2(host, port) or _sends_settings(host, port)


def _agrees_on_h2(host: str, port: int) -> bool:
    """Returns what the TLS handshake tells, before a server asks for a certificate of ours."""
    tls = _unverified()
    tls.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE_S) as link,
            tls.wrap_socket(link) as secured,
        ):
            return secured.selected_alpn_protocol() == "h2"
    except OSError:  # it speaks in clear, or not at all
        return False


def _sends_settings(host: str, port: int) -> bool:
    """Returns whether the server answers an HTTP/2 preface with its settings.

    RFC 9113, 3.4: each side begins with a frame of settings, the client's after its preface.
    """
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S) as link:
            link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            return link.recv(4)[3:] == b"\4"
    except OSError:
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
