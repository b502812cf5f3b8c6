"""Finds what belongs to a caller. An attempt at another's is recorded."""

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from inference.api.call import Call
from inference.errors import NotFound
from inference.models import Batch, Completion, Decision, Dialogue, File, Job, StoredResponse
from inference.models.assistants.dialogue import DialogueQuerySet
from inference.models.batch import BatchQuerySet
from inference.models.completion import CompletionQuerySet
from inference.models.decisions.decision import DecisionQuerySet
from inference.models.file import FileQuerySet
from inference.models.job import JobQuerySet
from inference.models.stored_response import StoredResponseQuerySet
from infrastructure.postgres.repeated_transaction import transact
from infrastructure.postgres.request_threads import in_request_thread
from tenants.accounts import text_lock
from tenants.caller import Caller
from tenants.scope import tenant_scope

P = ParamSpec("P")
T = TypeVar("T")
Rows = TypeVar(
    "Rows",
    CompletionQuerySet,
    DialogueQuerySet,
    FileQuerySet,
    BatchQuerySet,
    JobQuerySet,
    StoredResponseQuerySet,
    DecisionQuerySet,
)
Row = TypeVar("Row", Completion, File, Batch, Job, StoredResponse, Decision, Dialogue)


def readable(rows: Rows, caller: Caller) -> Rows:
    """Returns the rows whose texts the caller's key may read, in the caller's scope.

    They are of the key, or of one that it was rotated from or to.
    """
    rows = rows.filter(tenant_id=caller.tenant_id)
    if caller.api_key_id is None:
        return rows.none()
    if text_lock.of_key(caller.api_key_id):  # perhaps rotated by a stranger in their account
        rows = rows.filter(api_key=caller.api_key_id)
    return rows.of_key(caller.api_key_id)


async def own(
    call: Call, caller: Caller, rows: QuerySet[Row], pk: UUID | None, refusal: NotFound, code: str
) -> Row:
    """Returns the caller's row. Raises the refusal, and records the attempt with this code."""
    row: Row | None = await repeatable_in_scope(caller.tenant_id, _first, caller, rows, pk)
    if row is None:
        call.denied(404, code)
        raise refusal
    return row


def _first(caller: Caller, rows: Any, pk: UUID | None) -> Any:
    return readable(rows, caller).filter(pk=pk).first()


async def in_scope(tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in a thread, in a transaction that sees this tenant."""
    transaction = partial(tenant_scope, tenant_id), partial(work, *args, **kwargs)
    return await in_request_thread(transact)(*transaction)


async def repeatable_in_scope(
    tenant_id: UUID, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run it as `in_scope` does, and again also if its commit was cut off.

    It only reads, or finds what it has stored.
    """
    transaction = partial(tenant_scope, tenant_id), partial(work, *args, **kwargs)
    return await in_request_thread(transact)(*transaction, repeatable=True)


def parsed_id(text: str, prefix: str) -> UUID | None:
    """Returns the id behind a prefix such as `dec_`; None if it cannot be one."""
    number = text.removeprefix(prefix)
    if text == number or len(number) not in (32, 36):
        return None
    try:
        return UUID(hex=number)
    except ValueError:
        return None
