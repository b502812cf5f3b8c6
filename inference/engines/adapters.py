"""The adapters that tenants' requests may name, as this process knows them.

`registry/following.py` reads them. A name is looked up in memory, so that a request without an
adapter asks nobody, and one with the name of another tenant's takes as long as one with any name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from inference.order import OrderAdapter

SEPARATOR = ":"


@dataclass(frozen=True, slots=True)
class AdapterInForce:
    """A tenant's adapter with the version that serves it. `base` is the name of a model."""

    tenant_id: UUID
    base: str
    created: int  # Unix time of its adapter
    adapter: OrderAdapter

    @property
    def model(self) -> str:
        """Returns its name as a model."""
        return model_name(self.base, self.adapter.name)


@dataclass(frozen=True, slots=True)
class AdaptersInForce:
    """`ended` are versions that may not serve, whatever waits for them."""

    rows: tuple[AdapterInForce, ...] = ()
    ended: frozenset[UUID] = frozenset()
    by_name: dict[tuple[UUID, str], AdapterInForce] = field(default_factory=dict)


_present = AdaptersInForce()


def put_in_force(rows: Iterable[AdapterInForce], ended: Iterable[UUID]) -> bool:
    """Serve these adapters. Returns whether anything has changed."""
    global _present
    rows, ended = tuple(rows), frozenset(ended)
    if (rows, ended) == (_present.rows, _present.ended):
        return False
    _present = AdaptersInForce(rows, ended, {(row.tenant_id, row.model): row for row in rows})
    return True


def find(tenant_id: UUID, model: str) -> AdapterInForce | None:
    return _present.by_name.get((tenant_id, model))


def of_tenant(tenant_id: UUID) -> list[AdapterInForce]:
    return [row for row in _present.rows if row.tenant_id == tenant_id]


def has_ended(version: UUID) -> bool:
    """Returns whether a version was deleted, or its adapter was removed."""
    return version in _present.ended


def model_name(base: str, name: str) -> str:
    return f"{base}{SEPARATOR}{name}"
