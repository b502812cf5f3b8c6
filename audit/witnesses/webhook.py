"""`https://audit.example/forebay`: a POST of new checkpoints, signed with our key.

The body is JSON, `{"checkpoints": [...]}`; X-Forebay-Signature is Ed25519, in base64, over the line
`forebay-witness/1` and the body. Any 2xx accepts them.
"""

import base64
import http.client
from urllib.parse import SplitResult, urlsplit

from audit.keys import signing
from infrastructure import outgoing_tls

TIMEOUT_S = 3.0
PURPOSE = "witness"


def hear(url: str, records: list[bytes]) -> None:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts)
    try:
        body = b'{"checkpoints":[' + b",".join(records) + b"]}"
        connection.request("POST", path, body, _headers(parts, body))
        status = connection.getresponse().status
    except http.client.HTTPException as problem:
        raise OSError(f"no answer over HTTP: {problem!r}") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise OSError(f"it answered {status}")


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    host, port = parts.hostname, parts.port
    if not host:
        raise ValueError("the URL names no host")
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    tls = outgoing_tls.context(host)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls)


def _headers(parts: SplitResult, body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "X-Forebay-Key-Id": signing.key_id(),
        "X-Forebay-Signature": base64.b64encode(signing.sign(body, PURPOSE)).decode(),
    }
    if parts.username:
        pair = f"{parts.username}:{parts.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers
