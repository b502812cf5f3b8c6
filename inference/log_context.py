"""The request that a task works for, for its log lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Current(Protocol):
    @property
    def log_id(self) -> str:
        """The id as in its answer; "" while it has none."""

    @property
    def tenant_id(self) -> UUID | str | None:
        """The tenant, once it is known."""

    @property
    def over(self) -> bool:
        """True once it has ended: its tasks may outlive it, and work for others then."""


@dataclass(slots=True)
class LogContext:
    log_id: str
    tenant_id: UUID | str | None
    over: bool = False


_current = ContextVar[Current | None]("current", default=None)
works_for = _current.set  # from here on, in this task and those it starts


@contextmanager
def working_for(log_id: str, tenant_id: UUID | str) -> Iterator[None]:
    context = LogContext(log_id, tenant_id)
    works_for(context)
    try:
        yield
    finally:
        context.over = True


def about(request_id: object, tenant_id: object = None) -> dict[str, object]:
    """Returns `extra` of a log line about another request."""
    return {"request_id": request_id, "tenant_id": tenant_id}


def current() -> Current | None:
    request = _current.get()
    return None if request is None or request.over else request
