"""The request that a task works for: what its log lines say of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Current(Protocol):
    @property
    def log_id(self) -> str:
        """Its id, as its answer tells it; "" as long as it has none."""

    @property
    def tenant_id(self) -> UUID | str | None:
        """Once it is known."""

    @property
    def over(self) -> bool:
        """What a request has started may outlive it, and works for others then."""


@dataclass(slots=True)
class Named:
    log_id: str
    tenant_id: UUID | str | None
    over: bool = False


_current = ContextVar[Current | None]("current", default=None)
works_for = _current.set  # from here on, in this task and what it starts


@contextmanager
def working_for(log_id: str, tenant_id: UUID | str) -> Iterator[None]:
    named = Named(log_id, tenant_id)
    works_for(named)
    try:
        yield
    finally:
        named.over = True


def about(request_id: object, tenant_id: object = None) -> dict[str, object]:
    """`extra` of a line about a request that is not the one worked for."""
    return {"request_id": request_id, "tenant_id": tenant_id}


def current() -> Current | None:
    found = _current.get()
    return None if found is None or found.over else found
