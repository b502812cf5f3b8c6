"""A question counts as a request that ends when it is taken or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from inference.chat.refusal import Refused
from inference.intake.allowed import NoSuchModel, NotAllowed
from inference.intake.errors import EnginesPaused, NotAdmitted, OutOfService, QueueFull
from inference.metrics.labels import ROUTES
from inference.metrics.requests import Counted
from inference.tracing import spans, words

ROUTE = "chat"
ROUTES.add(ROUTE)


@contextmanager
def counted(tenant_id: UUID) -> Iterator[Counted]:
    request = Counted("chat")
    request.tenant_id = tenant_id
    span = spans.front(ROUTE, nothing_told)
    try:
        yield request
    except Exception as problem:
        request.status, reason = _told(problem)
        request.refused(reason)
        raise
    finally:
        request.ended(ROUTE)
        words.end(span, request, request.log_id, "chat message", {})


def nothing_told(_name: str) -> str:
    """A page's socket has no headers for each of its messages."""
    return ""


def _told(problem: Exception) -> tuple[int, str]:
    """A status as other front ends would tell it, and the reason."""
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
