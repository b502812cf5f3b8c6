"""Checks for request heads that two readers would understand differently: they are refused (400).

A request goes to one host, and has one key, one length and one name to be repeated under. If a
line occurs twice, a proxy may have looked at the first one, and we at the last.
"""

from collections import Counter

from inference.errors import Headers

# A request has at most one line of each (RFC 9110, 5.3; RFC 9112, 3.2).
_ONCE = frozenset(
    b"api-key authorization content-encoding content-length content-type host idempotency-key"
    b" last-event-id origin sec-websocket-key sec-websocket-version transfer-encoding x-api-key"
    b" x-csrftoken".split()
)
_OURS = b"x-forebay-"


def refusal_reason(headers: Headers, version: str) -> str:
    """Returns why the request is refused; "" if it is not. Names of headers are in lower case."""
    once = dict(headers)
    if b"host" not in once and version != "1.0":
        return "a request of HTTP/1.1 must have a Host header"
    if len(once) == len(headers):
        return ""
    twice = (name for name, count in Counter(name for name, _ in headers).items() if count > 1)
    name = next((name for name in twice if name in _ONCE or name.startswith(_OURS)), b"")
    return f"the header `{name.decode('latin-1')}` stands twice: send it once" if name else ""
