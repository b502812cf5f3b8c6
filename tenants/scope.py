"""Scopes of row-level security, the second wall behind the ORM's filters (row_security.py).

A page opens the scope of its tenant and person. Celery, the hot path's own connections and
manage.py see all tenants by the options of their connections.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from infrastructure.postgres.scope import scope


@contextmanager
def tenant_scope(tenant_id: UUID, user_id: int | None = None) -> Iterator[None]:
    """Opens a transaction that sees one tenant's rows (and the memberships of one person)."""
    with scope(tenant=str(tenant_id), user=str(user_id or "")):
        yield


@contextmanager
def person_scope(user_id: int) -> Iterator[None]:
    """Opens a transaction that sees a person's memberships and the names of their tenants."""
    with scope(user=str(user_id)):
        yield


@contextmanager
def system_scope() -> Iterator[None]:
    """Opens a transaction that sees every tenant, for operators' pages and the platform's work."""
    with scope(system=True):
        yield
