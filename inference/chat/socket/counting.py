"""Counts a question as a request that ends when it is accepted or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from inference.chat.refusal import Refused
from inference.intake.access.allowed import NoSuchModel, NotAllowed
from inference.intake.errors import EnginesPaused, NotAdmitted, OutOfService, QueueFull
from inference.metrics.labels import ROUTES
from inference.metrics.requests import Counted
from inference.tracing import span_values, spans

ROUTE = "chat"
ROUTES.add(ROUTE)


@contextmanager
def counted(tenant_id: UUID) -> Iterator[Counted]:
    request = Counted("chat")
    request.tenant_id = tenant_id
    span = spans.front(ROUTE, no_header)
    try:
        yield request
    except Exception as problem:
        request.status, reason = _status(problem)
        request.refused(reason)
        raise
    finally:
        request.ended(ROUTE)
        span_values.end(span, request, request.log_id, "chat message", {})


def no_header(_name: str) -> str:
    """Returns no trace header: a page's socket has none for single messages."""
    return ""


def _status(problem: Exception) -> tuple[int, str]:
    """Returns a status like that of other front ends, and the reason."""
    match problem:
        case NotAdmitted():
            return 429, problem.admission.tier
        case NotAllowed():
            return 403, problem.code
        case NoSuchModel():
            return 404, "model_not_found"
        case Refused():
            return 404 if problem.code == "model_not_found" else 400, problem.code
        case QueueFull():
            return 503, "queue_full"
        case EnginesPaused():
            return 503, "engine_unavailable"
        case OutOfService():
            return 503, "server_overloaded"
    return 500, "internal_error"
