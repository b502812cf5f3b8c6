"""Scopes of row-level security, the second wall behind the ORM's filters.

See isolation/row_security.py.

A page opens the scope of its tenant and person. Celery, the hot path's own connections and
manage.py see all tenants by the options of their connections.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar
from uuid import UUID

from infrastructure.postgres.repeated_transaction import transact
from infrastructure.postgres.scope import scope

T = TypeVar("T")


def tenant_scope(tenant_id: UUID, user_id: int | None = None) -> AbstractContextManager[None]:
    """Opens a transaction that sees one tenant's rows (and the memberships of one person)."""
    return scope(tenant=str(tenant_id), user=str(user_id or ""))


def read_in_tenant_scope(tenant_id: UUID, work: Callable[[], T]) -> T:
    """Runs what only reads, and again if the server ends its connection."""
    return transact(partial(tenant_scope, tenant_id), work, repeatable=True)


def person_scope(user_id: int) -> AbstractContextManager[None]:
    """Opens a transaction that sees a person's memberships and the names of their tenants."""
    return scope(user=str(user_id))


def system_scope() -> AbstractContextManager[None]:
    """Opens a transaction that sees every tenant, for operators' pages and the platform's work."""
    return scope(system=True)
