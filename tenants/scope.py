"""Scopes of row-level security, the second wall behind the ORM's filters.

See isolation/row_security.py.

A page opens the scope of its tenant and person. Celery, the hot path's own connections and
manage.py see all tenants by the options of their connections.
"""

from contextlib import AbstractContextManager
from uuid import UUID

from infrastructure.postgres.scope import scope


def tenant_scope(tenant_id: UUID, user_id: int | None = None) -> AbstractContextManager[None]:
    """Opens a transaction that sees one tenant's rows (and the memberships of one person)."""
    return scope(tenant=str(tenant_id), user=str(user_id or ""))


def person_scope(user_id: int) -> AbstractContextManager[None]:
    """Opens a transaction that sees a person's memberships and the names of their tenants."""
    return scope(user=str(user_id))


def system_scope() -> AbstractContextManager[None]:
    """Opens a transaction that sees every tenant, for operators' pages and the platform's work."""
    return scope(system=True)
