"""Ends requests in progress and open sockets within a second after their access is revoked.

Each web process checks all credentials in use here every EVERY_S: one query, whatever their number.
It reads the present state instead of waiting for notifications, so there is none to miss. Without
the database nothing is ended; the next check does it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from inference import classes
from inference.errors import error_body
from inference.log_context import about
from inference.order import Order
from inference.stream.frames import error_frame
from inference.stream.reader_buffer import ReaderBuffer
from infrastructure.postgres.resilient_connection import ResilientConnection
from tenants.authentication.restriction import restricted
from tenants.key_scopes import Scope
from tenants.models.tenant import State
from tenants.roles import Permission, may

log = logging.getLogger(__name__)
EVERY_S = 0.5
PATIENCE_S = 2.0
RESTRICTED = "restricted"
RESTRICTED_TEXT = (
    "the data of whoever this access belongs to is being erased or is restricted: nothing of "
    "theirs is processed"
)
_LOOK = f"""
    select 'key' as kind, k.digest as id, t.state, t.profile, '' as role,
           k.scopes::text[] as scopes,
           {restricted("t.id", "k.subject_id")} as restricted
    from tenants_apikey k join tenants_tenant t on t.id = k.tenant_id
    where k.digest = any(%(keys)s::bytea[])
      and k.scopes && array['{Scope.INFERENCE}', '{Scope.BATCH}']::varchar[]
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
    union all
    select 'member', uuid_send(m.id), t.state, t.profile, m.role, '{{}}',
           {restricted("t.id", "m.subject_id")}
    from tenants_member m join tenants_tenant t on t.id = m.tenant_id
    join tenants_user u on u.id = m.user_id
    where m.id = any(%(members)s::uuid[]) and u.is_active
    union all
    select 'session', convert_to(s.session_key, 'UTF8'), '{State.ACTIVE}', '', '', '{{}}', false
    from django_session s
    where s.session_key = any(%(sessions)s::text[]) and s.expire_date > now()
    union all
    select 'open', uuid_send(c.id), '', '', '', '{{}}', false
    from inference_completion c where c.id = any(%(orders)s::uuid[]) and c.state = 'open'"""

Credential = bytes | UUID | str  # a key's digest, a member's id, a session's key
Lost = Callable[[str], None]
_REASONS = {
    RESTRICTED: (403, RESTRICTED_TEXT),
    "access_revoked": (401, "this access was revoked or has expired while the answer was written"),
    "tenant_suspended": (403, "this tenant was suspended while the answer was written"),
    "tenant_closing": (403, "this tenant was closed while the answer was written"),
}


@dataclass
class _Request:
    credential: Credential
    order: Order
    buffer: ReaderBuffer | None  # None: it has no reader
    ending: bool = False


class Revocation:
    def __init__(self, dsn: str, cancel: Callable[[Order], None]) -> None:
        self._cancel = cancel
        self._requests: dict[UUID, _Request] = {}
        self._sockets: dict[object, tuple[Credential, Lost, Permission]] = {}
        self._batches_only: set[Credential] = set()  # keys
        self._connection = ResilientConnection(dsn)
        self._task = asyncio.create_task(self._work())

    def __len__(self) -> int:
        return len(self._requests) + len(self._sockets)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.close()

    def orders(self) -> list[Order]:
        return [request.order for request in self._requests.values()]

    # Coming and going ----------------------------------------------------------------------------
    def attend(
        self,
        socket: object,
        credential: Credential,
        lost: Lost,
        permission: Permission = Permission.CHAT,
    ) -> None:
        """Watch a socket. `lost` gets the reason, once, when its credential is revoked.

        A member's also is when the role no longer includes the permission.
        """
        self._sockets[socket] = credential, lost, permission

    def dismiss(self, socket: object) -> None:
        self._sockets.pop(socket, None)

    def begin(self, order: Order, credential: Credential, buffer: ReaderBuffer) -> None:
        """Watch a request once it is recorded."""
        self._requests[order.id] = _Request(credential, order, buffer)

    def leave(self, order: Order) -> None:
        """Note that its reader needs no more. A request that outlives it stays watched."""
        request = self._requests.get(order.id)
        too_slow = request and request.buffer and request.buffer.dropped
        if request and (order.outlives_reader or request.ending or too_slow):
            request.buffer = None
        else:
            self._requests.pop(order.id, None)

    # Looking -------------------------------------------------------------------------------------
    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._look()
            except (psycopg.Error, OSError, TimeoutError) as problem:
                log.warning("cannot re-check credentials: %r", problem)
                await self._connection.close()
            except Exception:
                log.exception("re-checking credentials failed")

    async def _look(self) -> None:
        if not len(self):
            return
        unread = [request for request in self._requests.values() if request.buffer is None]
        credentials = {request.credential for request in self._requests.values()}
        credentials |= {credential for credential, *_ in self._sockets.values()}
        rows = await self._ask(credentials, [request.order.id for request in unread])
        known = {_credential(row): row for row in rows if row["kind"] != "open"}
        still_open = {UUID(bytes=row["id"]) for row in rows if row["kind"] == "open"}
        keys = [row for row in rows if row["kind"] == "key"]
        self._batches_only = {_credential(k) for k in keys if Scope.INFERENCE not in k["scopes"]}
        self._end({c: known.get(c) for c in credentials})
        self._follow_up(unread, still_open)

    async def _ask(self, credentials: set[Credential], orders: list[UUID]) -> list[dict[str, Any]]:
        parameters = {
            "keys": [c for c in credentials if isinstance(c, bytes)],
            "members": [c for c in credentials if isinstance(c, UUID)],
            "sessions": [c for c in credentials if isinstance(c, str)],
            "orders": orders,
        }
        connection = await self._connection.get()
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        await cursor.execute(_LOOK, parameters, prepare=True)
        return await cursor.fetchall()

    # Ending --------------------------------------------------------------------------------------
    def _end(self, rows: dict[Credential, dict[str, Any] | None]) -> None:
        """End what lost its access. What began during the query has its turn at the next check."""
        for request in list(self._requests.values()):
            credential, klass = request.credential, request.order.klass
            reason = _lost(rows, credential) or self._out_of_scope(credential, klass)
            if reason and not request.ending:
                self._end_request(request, reason)
        for socket, (credential, notify, permission) in list(self._sockets.items()):
            reason = _lost(rows, credential, permission) or self._out_of_scope(credential)
            if reason and reason != RESTRICTED:  # a page learns it with its next request
                self.dismiss(socket)
                try:
                    notify(reason)
                except Exception:  # it must not keep the news from the others
                    log.exception("cannot notify a socket: %s", reason)

    def _out_of_scope(self, credential: Credential, klass: str = "realtime") -> str:
        in_scope = credential not in self._batches_only or classes.of(klass).scope == Scope.BATCH
        return "" if in_scope else "access_revoked"

    def _end_request(self, request: _Request, reason: str) -> None:
        order = request.order
        log.info("ending request %s: %s", order.id, reason, extra=about(order.id, order.tenant_id))
        request.ending = True
        if request.buffer:
            status, message = _REASONS[reason]
            request.buffer.put(error_frame(request.buffer.last + 1, status, reason, message))
        self._cancel(request.order)

    def _follow_up(self, unread: list[_Request], still_open: set[UUID]) -> None:
        """Cancel again until they are settled.

        A request cannot be cancelled on its way into the queue.
        """
        for request in unread:
            late = time.time() > request.order.deadline
            if late or request.order.id not in still_open:
                self._requests.pop(request.order.id, None)
            elif request.ending:
                self._cancel(request.order)


def _credential(row: dict[str, Any]) -> Credential:
    if row["kind"] == "session":
        return bytes(row["id"]).decode()
    return UUID(bytes=row["id"]) if row["kind"] == "member" else bytes(row["id"])


def _lost(
    rows: dict[Credential, dict[str, Any] | None],
    credential: Credential,
    permission: Permission = Permission.CHAT,
) -> str:
    """Returns why the credential is refused; "" if it is valid, or was not looked at."""
    row = rows.get(credential)
    if row is None:
        return "access_revoked" if credential in rows else ""
    return _refusal_reason(row, permission)


def _refusal_reason(row: dict[str, Any], permission: Permission) -> str:
    if row["state"] != State.ACTIVE:
        return f"tenant_{row['state']}"
    if row["kind"] == "member" and not may(row["role"], permission, row["profile"]):
        return "access_revoked"
    return RESTRICTED if row["restricted"] else ""


def refusal(reason: str) -> tuple[int, bytes]:
    """Returns HTTP status and body."""
    status, message = _REASONS[reason]
    return status, error_body(message, reason, status)
