"""Short database work of the chat, off the event loop.

Each call runs in a thread of the pool and closes its connection afterwards: with Channels' default
all sockets of a process would share one thread.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from infrastructure.postgres.repeated_transaction import transact
from infrastructure.postgres.request_threads import in_request_thread
from tenants.models import Member, User
from tenants.scope import person_scope, tenant_scope

P = ParamSpec("P")
T = TypeVar("T")


def off_loop(
    member: Member, look: Callable[P, T], *, repeatable: bool = False
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run it in a transaction that sees the member's tenant, and in another if that is cut off.

    One that is cut off in its commit is done again only if it is `repeatable`.
    """
    return _scoped(partial(tenant_scope, member.tenant_id, member.user_id), look, repeatable)


def off_loop_for(user: User, look: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run it in a transaction that sees the person's memberships."""
    return _scoped(partial(person_scope, user.pk), look, repeatable=False)


def _scoped(
    scope: Callable[[], AbstractContextManager[None]], look: Callable[P, T], repeatable: bool
) -> Callable[P, Coroutine[Any, Any, T]]:
    def scoped(*args: P.args, **kwargs: P.kwargs) -> T:
        return transact(scope, partial(look, *args, **kwargs), repeatable=repeatable)

    return in_request_thread(scoped)
