"""Errors of clients' requests, in OpenAI's shape.

ApiError
├── BadRequest            400  the fault and its place (`param`)
├── Unauthorized          401  no key, a wrong, revoked or expired one
├── Forbidden             403  a scope is missing, the address, the tenant is not open
├── NotFound              404  also for other callers' objects, and hidden models
├── MethodNotAllowed      405  with Allow
├── RequestTimeout        408  its head or body did not arrive in time
├── Conflict              409  its idempotency key's first request runs, or cannot be replayed
├── TooLarge              413
├── UnsupportedEncoding   415  with Accept-Encoding
├── KeyReused             422  its idempotency key belongs to another request
├── LimitReached          429  with a true Retry-After and a refusal id; OutOfQuota
├── Cancelled             499  the caller has ended it early
└── Unavailable           503  with Retry-After: PostgreSQL, Redis or the engine is away
"""

from typing import Any

import orjson

from tenants.caller import Caller

Headers = list[tuple[bytes, bytes]]
LONGEST_MESSAGE, LONGEST_PARAM = 2000, 200


class ApiError(Exception):
    status = 500
    type = "server_error"
    code = "internal_error"
    is_refusal = True  # false for an accepted request that failed at its engine

    def __init__(
        self, message: str, *, code: str = "", param: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.retry_after = message, param, retry_after
        self.code = code or type(self).code
        self.extra: Headers = []
        self.refusal_id = self.request_id = ""
        self.caller: Caller | None = None  # the caller, if the front end does not know it

    @property
    def shown_param(self) -> str | None:
        """Returns the field, whose name may be the client's, cut to LONGEST_PARAM."""
        return self.param and _short(self.param, LONGEST_PARAM)

    def body(self) -> bytes:
        error: dict[str, Any] = {
            "message": _short(self.message, LONGEST_MESSAGE),
            "type": self.type,
            "param": self.shown_param,
            "code": self.code,
        }
        if self.refusal_id:
            error["refusal_id"] = self.refusal_id
        return orjson.dumps({"error": error})

    def headers(self) -> Headers:
        if not self.retry_after:
            return self.extra
        return [(b"retry-after", str(self.retry_after).encode()), *self.extra]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class BadRequest(ApiError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


def must_be(name: str, should: str, *, code: str = "") -> BadRequest:
    """Returns the error of a field whose value is wrong."""
    return BadRequest(f"`{name}` must be {should}", code=code, param=name)


class Unauthorized(ApiError):
    status, type, code = 401, "authentication_error", "invalid_api_key"


class Forbidden(ApiError):
    status, type, code = 403, "permission_error", "forbidden"


class NotFound(ApiError):
    status, type, code = 404, "invalid_request_error", "not_found"


class MethodNotAllowed(ApiError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"

    def __init__(self, path: str, allow: str) -> None:
        super().__init__(f"{path} takes {allow}")
        self.extra = [(b"allow", allow.encode())]


class RequestTimeout(ApiError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


class Conflict(ApiError):
    status, type, code = 409, "invalid_request_error", "conflict"


class TooLarge(ApiError):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class UnsupportedEncoding(ApiError):
    status, type, code = 415, "invalid_request_error", "unsupported_content_encoding"

    def __init__(self, accepted: str) -> None:
        super().__init__(f"Content-Encoding must be one of {accepted}, or be left out")
        self.extra = [(b"accept-encoding", accepted.encode())]


class KeyReused(ApiError):
    status, type, code = 422, "invalid_request_error", "idempotency_key_reused"


class LimitReached(ApiError):
    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    tier, retry_after_ms = "", 0


class OutOfQuota(LimitReached):
    type, code = "insufficient_quota", "insufficient_quota"


class Cancelled(ApiError):
    status, type, code = 499, "invalid_request_error", "cancelled"

    def __init__(self, message: str = "this request was cancelled") -> None:
        super().__init__(message)


class Unavailable(ApiError):
    status, type, code = 503, "server_error", "server_overloaded"


class ServerStopped(Unavailable):
    code = "server_stopped"

    def __init__(self) -> None:
        super().__init__("this server stops; send it again", retry_after=1)


def error_body(message: str, code: str, status: int) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
