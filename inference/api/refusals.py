"""Turns refusals of intake into errors that a front end can write."""

import logging

import psycopg
from django import db

from inference.api.limits import limit_reached
from inference.errors import ApiError, Forbidden, NotFound, Unavailable
from inference.intake.access.allowed import NoSuchModel, NotAllowed
from inference.intake.errors import EnginesPaused, NotAdmitted, OutOfService, QueueFull

log = logging.getLogger(__name__)
REFUSALS = (ApiError, NotAllowed, NoSuchModel, NotAdmitted, OutOfService)
LONGEST_NAME = 120  # of an unknown model, in the error


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
        case db.OperationalError() | psycopg.OperationalError():  # PostgreSQL is away, or too slow
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
