"""`https://audit.example/forebay`: a POST of new checkpoints, signed with our key.

The body is JSON, `{"checkpoints": [...]}`; X-Forebay-Signature is Ed25519, in base64, over the line
`forebay-witness/1` and the body. Any 2xx accepts them.
"""

import base64
import http.client
from urllib.parse import urlsplit

from audit.keys import signing
from infrastructure import outgoing_tls

TIMEOUT_S = 3.0
PURPOSE = "witness"


class Webhook:
    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def hear(self, records: list[bytes]) -> None:
        connection = self._connection()
        try:
            body = b'{"checkpoints":[' + b",".join(records) + b"]}"
            connection.request("POST", self._path, body, self._headers(body))
            status = connection.getresponse().status
        except http.client.HTTPException as problem:
            raise OSError(f"no answer over HTTP: {problem!r}") from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise OSError(f"it answered {status}")

    @property
    def _path(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path or "/") + query

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname, self._url.port
        if not host:
            raise ValueError("the URL names no host")
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        tls = outgoing_tls.context(host)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "X-Forebay-Key-Id": signing.key_id(),
            "X-Forebay-Signature": base64.b64encode(signing.sign(body, PURPOSE)).decode(),
        }
        if self._url.username:
            pair = f"{self._url.username}:{self._url.password or ''}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers
