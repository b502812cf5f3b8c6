"""One GET, or one connection, by the standard library alone, to learn whether a server is up."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    status: int  # 0: no answer
    body: str


async def get(
    host: str,
    port: int,
    path: str,
    patience: float = 2,
    *,
    tls: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a GET, and return the answer; its status is 0 if none comes within `patience` seconds.

    `tls` is for a process of ours, whose certificate is not checked.
    """
    try:
        async with asyncio.timeout(patience):
            return await _get(host, port, path, headers or {}, _unverified() if tls else None)
    except (OSError, TimeoutError, ValueError, IndexError):
        return Answer(0, "")


async def answers(host: str, port: int, patience: float = 2) -> bool:
    """Returns whether anybody takes connections there."""
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def speaks_http2(host: str, port: int, patience: float = 2) -> bool:
    """Returns whether a server speaks HTTP/2 there, as gRPC does, over TLS or in clear. Blocks.

    Over TLS the handshake alone tells, before a server asks for a certificate of ours.
    """
    return _agrees_on_h2(host, port, patience) or _sends_settings(host, port, patience)


def _agrees_on_h2(host: str, port: int, patience: float) -> bool:
    tls = _unverified()
    tls.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=patience) as link,
            tls.wrap_socket(link) as secured,
        ):
            return secured.selected_alpn_protocol() == "h2"
    except OSError:  # it speaks in clear, or not at all
        return False


def _sends_settings(host: str, port: int, patience: float) -> bool:
    """Returns whether the server answers an HTTP/2 preface with its settings.

    RFC 9113, 3.4: each side begins with a frame of settings, the client's after its preface.
    """
    try:
        with socket.create_connection((host, port), timeout=patience) as link:
            link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            return link.recv(4)[3:] == b"\4"
    except OSError:
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _get(
    host: str, port: int, path: str, headers: Mapping[str, str], tls: ssl.SSLContext | None
) -> Answer:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        lines = [f"GET {path} HTTP/1.0", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return Answer(int(head.split(maxsplit=2)[1]), body.decode(errors="replace"))
    finally:
        writer.close()
