"""Short database work off the event loop, in a transaction that sees one tenant."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar
from uuid import UUID

from infrastructure.postgres.repeated_transaction import transact
from infrastructure.postgres.request_threads import in_request_thread
from tenants.scope import read_in_tenant_scope, tenant_scope

P = ParamSpec("P")
T = TypeVar("T")


async def in_tenant(tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it, and again if the server ends its connection before the commit."""
    transaction = partial(tenant_scope, tenant_id), partial(work, *args, **kwargs)
    return await in_request_thread(transact)(*transaction)


async def read_in_tenant(
    tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run what only reads, and again also if its end was cut off."""
    read = partial(work, *args, **kwargs)
    return await in_request_thread(read_in_tenant_scope)(tenant_id, read)
