"""Downloads one file over https, whose SHA-256 must be known before."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources.hosts import Place, place_of
from inference.model_registry.sources.progress import Budget
from infrastructure import outgoing_tls

_CHUNK, PATIENCE_S, MOST_REDIRECTS = 1 << 20, 60.0, 5
_MOVED = (301, 302, 303, 307, 308)


class _Connection(http.client.HTTPSConnection):
    """A connection to an address that was checked, with the host's name in TLS."""

    def __init__(self, place: Place) -> None:
        context = outgoing_tls.context(place.host)
        super().__init__(place.host, place.port, timeout=PATIENCE_S, context=context)
        self._place, self._tls = place, context

    def connect(self) -> None:
        place = self._place
        plain = socket.create_connection((place.address, place.port), PATIENCE_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=place.host)


def download(url: str, digest: str, target: Path, budget: Budget, *, by_tenant: bool) -> None:
    """Write a URL's content to `target`. Raises BadFile, Stopped, OSError of the disk."""
    actual = sha256()
    with target.open("xb") as file:
        for chunk in _content(url, budget, by_tenant=by_tenant):
            actual.update(chunk)
            file.write(chunk)
    if actual.hexdigest() != digest.lower():
        raise BadFile(f"its SHA-256 is {actual.hexdigest()}, not the one that was given")


def _content(url: str, budget: Budget, *, by_tenant: bool) -> Iterator[bytes]:
    with _answer(url, by_tenant=by_tenant) as answer:
        _check_length(answer.headers.get("Content-Length", ""), budget)
        while chunk := _read(answer):
            budget.spend(len(chunk))
            yield chunk
        if answer.length:
            raise BadFile("the download broke off")


def _check_length(length: str, budget: Budget) -> None:
    """Refuse what is announced as too large before any of it is read."""
    if length.isdecimal() and int(length) > budget.room:
        budget.spend(int(length))


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (http.client.HTTPException, OSError):
        raise BadFile("the download broke off") from None


@contextmanager
def _answer(url: str, *, by_tenant: bool) -> Iterator[http.client.HTTPResponse]:
    """Follow redirects, each to a host that is allowed as well. Raises BadFile."""
    for _ in range(MOST_REDIRECTS + 1):
        # An answer that is not read to its end keeps the socket open.
        with (
            closing(_Connection(place_of(url, by_tenant=by_tenant))) as connection,
            closing(_ask(connection, url)) as answer,
        ):
            if answer.status == http.client.OK:
                yield answer
                return
            if answer.status not in _MOVED:
                raise BadFile(f"the server answered {answer.status}")
            url = urljoin(url, answer.headers.get("Location", ""))
    raise BadFile("the server redirects without end")


def _ask(connection: _Connection, url: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "identity"})
        return connection.getresponse()
    except ssl.SSLError:
        raise BadFile("the server's certificate is not trusted (FOREBAY_TLS_CA)") from None
    except (http.client.HTTPException, OSError, UnicodeError):
        raise BadFile("the server does not answer") from None
