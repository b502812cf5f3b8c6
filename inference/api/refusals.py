"""Turns refusals of intake into errors that a front end can write."""

import logging
import math
from datetime import UTC, datetime, timedelta

import psycopg
from django import db

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api import limit_headers
from inference.errors import (
    ApiError,
    Forbidden,
    LimitReached,
    NotFound,
    OutOfQuota,
    Unavailable,
)
from inference.intake.access.allowed import NoSuchModel, NotAllowed
from inference.intake.errors import EnginesPaused, NotAdmitted, OutOfService, QueueFull
from tenants.caller import SESSION
from tenants.rate_limits.admission import Admission, TierRest

log = logging.getLogger(__name__)
REFUSALS = (ApiError, NotAllowed, NoSuchModel, NotAdmitted, OutOfService)
LONGEST_NAME = 120  # of an unknown model, in the error
_TIERS = {
    "ip": "this address sent {limit} requests within a minute, which is the most",
    "key_rate": "this API key's {limit} requests per minute are used up",
    "rate": "this tenant's {limit} requests per minute are used up",
    "key_tokens": "this API key's {limit} tokens per minute do not suffice for this request now",
    "tokens": "this tenant's {limit} tokens per minute do not suffice for this request now",
    "key_concurrency": "{used} requests of this API key are running; {limit} is the most at once",
    "concurrency": "{used} requests of this tenant are running; {limit} is the most at once",
    "key_bytes": "{used} of the {limit} bytes in flight of this API key are taken",
    "bytes": "{used} of the {limit} bytes in flight of this tenant are taken",
    "key_stored": "this API key's {limit} bytes stored per day do not suffice for this request now",
    "stored": "this tenant's {limit} bytes stored per day do not suffice for this request now",
    "key_readers": "this API key reads {used} streams at once; {limit} is the most",
    "readers": "this tenant reads {used} streams at once; {limit} is the most",
}
_OF_BYTES = ("bytes", "stored")


def as_error(refusal: Exception) -> ApiError:
    """Returns the error of one of REFUSALS. Any other exception is not explained."""
    match refusal:
        case ApiError():
            return refusal
        case NotAllowed():
            return Forbidden(refusal.message, code=refusal.code)
        case NoSuchModel():
            return _no_such_model(refusal.name, refusal.alias_of)
        case NotAdmitted():
            return limit_reached(refusal)
        case EnginesPaused():
            code = "engine_unavailable"
            return Unavailable(f"{refusal}; try again", code=code, retry_after=refusal.retry_after)
        case QueueFull():
            return Unavailable(
                f"{refusal}; try again later", code="queue_full", retry_after=refusal.retry_after
            )
        case OutOfService():
            log.warning("out of service: %s", refusal)
            return _out_of_service()
        case db.OperationalError() | psycopg.OperationalError() | MasterKeyUnavailable():
            return _out_of_service()
    return ApiError("something broke; it has been logged")


def _out_of_service() -> Unavailable:
    message = "the platform cannot take requests right now; try again"
    return Unavailable(message, retry_after=2)


def is_recorded(refusal: Exception, error: ApiError) -> bool:
    """Returns whether the attempt is recorded for the tenant, or for the operators."""
    hidden = isinstance(refusal, NoSuchModel) and refusal.hidden
    return hidden or error.status in (401, 403)


def _no_such_model(name: str, alias_of: str) -> NotFound:
    short = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    if alias_of:
        what = f"`{short}` is an alias of the model `{alias_of}`, which is not served"
    else:
        what = f"the model `{short}` does not exist"
    message = f"{what}; GET /v1/models lists those that do"
    return NotFound(message, code="model_not_found", param="model")


def limit_reached(refused: NotAdmitted) -> LimitReached:
    """Returns a 429 that names the tier, its figures, and the time to wait, if any."""
    admission = refused.admission
    wait_ms = 0 if admission.never_fits else max(1, admission.frees_in_ms)
    reason = refused.message or _TIERS[admission.tier].format(
        limit=admission.limit, used=admission.used
    )
    seconds = math.ceil(wait_ms / 1000)
    kind = OutOfQuota if admission.tier == "quota" else LimitReached
    text = f"{reason}; {_advice(admission, seconds)} ({admission.tier}, {refused.refusal_id})"
    error = kind(text, retry_after=seconds)
    error.refusal_id = refused.refusal_id
    error.tier, error.retry_after_ms = admission.tier, wait_ms
    error.extra = [
        *([(b"retry-after-ms", b"%d" % wait_ms)] if wait_ms else []),
        (b"x-refusal-id", refused.refusal_id.encode()),
        *limit_headers.headers(admission, admission.tier),
    ]
    if admission.tier.endswith(_OF_BYTES):
        remaining = max(0, admission.limit - admission.used)
        error.extra += limit_headers.header_lines(
            "bytes", TierRest(admission.limit, remaining, admission.frees_in_ms)
        )
    if admission.tier == "quota":
        error.extra.append((b"x-should-retry", b"false"))
    return error


def _advice(admission: Admission, seconds: int) -> str:
    if admission.tier != "quota":
        return f"try again in {seconds} s"
    if admission.window == SESSION and admission.asked <= admission.limit:
        return (
            "this session has no room for it: begin a new session, or wait until its requests in "
            "progress have ended"
        )
    if not admission.never_fits:
        return _renewal(seconds)
    if admission.unit == "requests":
        return "no window has room for it"
    return "it is larger than the whole quota, and waiting does not help: send a lower max_tokens"


def _renewal(seconds: int) -> str:
    """Says when a window of a quota begins anew, by the clock and in hours or days."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds + 30)  # to the nearest minute
    if seconds < 2 * 24 * 3600:
        passed = f"{seconds // 3600} h" if seconds >= 7200 else f"{max(1, seconds // 60)} min"
        return f"it renews at {moment:%H:%M} UTC, in {passed}"
    days = seconds // (24 * 3600)
    return f"it renews on {moment:%Y-%m-%d} at {moment:%H:%M} UTC, in {days} days"
