"""Which rows PostgreSQL shows: the second wall behind the ORM's filters (row_security.py).

A page opens the scope of its tenant and person; Celery, the hot path's own connections and
manage.py work for all tenants, and say so in their connection's options.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from infrastructure.postgres.scope import scope


@contextmanager
def tenant_scope(tenant_id: UUID, user_id: int | None = None) -> Iterator[None]:
    """One transaction that sees the rows of one tenant (and the memberships of one person)."""
    with scope(tenant=str(tenant_id), user=str(user_id or "")):
        yield


@contextmanager
def person_scope(user_id: int) -> Iterator[None]:
    """One transaction that sees a person's memberships and the names of their tenants."""
    with scope(user=str(user_id)):
        yield


@contextmanager
def system_scope() -> Iterator[None]:
    """One transaction that sees every tenant: for operators' pages and for the platform's work."""
    with scope(system=True):
        yield
