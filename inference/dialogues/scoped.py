"""Short database work off the event loop, in a transaction that sees one tenant."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from infrastructure.postgres.request_threads import in_request_thread
from tenants.scope import tenant_scope

P = ParamSpec("P")
T = TypeVar("T")


async def in_tenant(tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    def scoped() -> T:
        with tenant_scope(tenant_id):
            return work(*args, **kwargs)

    return await in_request_thread(scoped)()
