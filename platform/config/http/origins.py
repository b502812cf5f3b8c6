"""Origins whose pages may open a websocket: this platform's own, and no others.

A browser sends a person's cookie along whichever page opens the socket, so that another page on the
same machine, at another port, must not be let in.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ANYWHERE = ("0.0.0.0", "[::]")  # noqa: S104
_DEFAULT_PORTS = {"http": 80, "https": 443}


def own_origins(public_url: str, further_hosts: Iterable[str]) -> frozenset[str]:
    """Returns the origins with scheme and port of `public_url`.

    `.example.com` allows all hosts below. An installation that is reached at a loopback address is
    reached at all of them.
    """
    url = urlsplit(public_url)
    host = _host(url.hostname or "")
    near = _LOOPBACK if host in (*_LOOPBACK, *_ANYWHERE) else ()
    hosts = {host, *near, *(_host(name) for name in further_hosts if name != "*")}
    port = url.port or _DEFAULT_PORTS[url.scheme]
    suffix = "" if port == _DEFAULT_PORTS[url.scheme] else f":{port}"
    return frozenset(f"{url.scheme}://{name}{suffix}" for name in hosts)


def is_loopback(public_url: str) -> bool:
    return _host(urlsplit(public_url).hostname or "") in _LOOPBACK


def _host(name: str) -> str:
    name = name.lower()
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def is_own(origin: str, own: frozenset[str]) -> bool:
    """Returns whether an origin is among `own`.

    `origin` is as browsers write it: without a default port, and in lower case.
    """
    if origin in own:
        return True
    scheme, _, host = origin.partition("://")
    labels = host.split(".")
    below = (".".join(["", *labels[n:]]) for n in range(len(labels)))
    return any(f"{scheme}://{name}" in own for name in below)


class FromOwnPages:
    """An ASGI application that admits websockets opened by a page of this platform."""

    def __init__(self, application: Any, own: frozenset[str]) -> None:
        self._application, self._own = application, own

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if len(origins) == 1 and is_own(origins[0].decode("latin-1").lower(), self._own):
            await self._application(scope, receive, send)
        else:
            await refuse(scope, receive, send)


async def refuse(_scope: Any, receive: Any, send: Any) -> None:
    """Answer a websocket's handshake with 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})
