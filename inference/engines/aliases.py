"""The aliases of tenants, as this process knows them.

`registry/following.py` reads them. A name is looked up in memory: a request asks nobody.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AliasInForce:
    """A name of a tenant. `model` is what answers, by name: a served model, or an adapter."""

    tenant_id: UUID
    name: str
    model: str
    created: int  # Unix time


_rows: tuple[AliasInForce, ...] = ()
_by_tenant: Mapping[UUID, Mapping[str, AliasInForce]] = {}


def put_in_force(rows: Iterable[AliasInForce]) -> None:
    global _rows, _by_tenant
    if (rows := tuple(rows)) == _rows:
        return
    by_tenant: dict[UUID, dict[str, AliasInForce]] = defaultdict(dict)
    for row in rows:
        by_tenant[row.tenant_id][row.name] = row
    _rows, _by_tenant = rows, dict(by_tenant)


def find(tenant_id: UUID, name: str) -> AliasInForce | None:
    own = _by_tenant.get(tenant_id)
    return own.get(name) if own else None


def of_tenant(tenant_id: UUID) -> list[AliasInForce]:
    """Returns a tenant's aliases by name."""
    return list(_by_tenant.get(tenant_id, {}).values())
