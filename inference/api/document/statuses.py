"""The statuses of errors, and their meaning. A test compares them with inference/errors.py."""

from inference.api.document.operation import Kind

MEANINGS = {
    400: "A field, a parameter or a header is wrong or unknown: `param` names it.",
    401: "No key, or a wrong, revoked or expired one.",
    403: "The key's scope, address or tenant does not allow it.",
    404: "It does not exist, or belongs to somebody else.",
    405: "There is no such method here; `Allow` lists the methods.",
    408: "The request did not arrive in time.",
    409: "Its state does not allow it, or the same `Idempotency-Key` is in progress.",
    413: "The body is too large.",
    415: "`Content-Encoding` must be gzip or deflate, or be left out.",
    422: "The `Idempotency-Key` was sent with another request.",
    429: "A limit or a quota is reached; `Retry-After` gives the seconds to wait.",
    499: "The caller has ended it.",
    500: "Something broke; it has been logged.",
    502: "The engine failed.",
    503: "The platform or the engines cannot take it now; `Retry-After` gives the seconds to wait.",
    504: "The answer took too long.",
}
_ALWAYS = frozenset((400, 401, 403, 404, 429, 503))
_STORE = _ALWAYS | {408, 409, 413, 415}
_BEGIN = _STORE | {422}
_RUN = _BEGIN | {499, 500, 502, 504}
OF_KIND = {Kind.LOOK: _ALWAYS, Kind.STORE: _STORE, Kind.BEGIN: _BEGIN, Kind.RUN: _RUN}
CONFLICT = 409
