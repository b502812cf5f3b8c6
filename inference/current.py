"""The request that a task works for: what its log lines say of it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Current(Protocol):
    @property
    def log_id(self) -> str:
        """Its id, as its answer tells it; "" as long as it has none."""

    @property
    def tenant_id(self) -> UUID | None:
        """Once it is known."""

    @property
    def over(self) -> bool:
        """What a request has started may outlive it, and works for others then."""


@dataclass(slots=True)
class Named:
    """Of a task that ends with it."""

    log_id: str
    tenant_id: UUID | None
    over: bool = False


_current = ContextVar[Current | None]("current", default=None)
works_for = _current.set  # from here on, in this task and what it starts


def about(request_id: object, tenant_id: object = None) -> dict[str, object]:
    """`extra` of a line about a request that is not the one worked for."""
    return {"request_id": request_id, "tenant_id": tenant_id}


def current() -> Current | None:
    found = _current.get()
    return None if found is None or found.over else found
