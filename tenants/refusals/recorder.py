"""Records every refusal at little cost for the caller and the database.

Refusals of one caller in one minute at one tier share an id, which the caller gets at once, and a
row. Rows are written about once a second, each with an audit event that has their number. The same
applies to keys that are not valid. Nobody waits for the database, and a flood is summed up.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson
import psycopg

from audit.actions import Action
from audit.trail.record import api_key_of
from infrastructure.postgres.resilient_connection import ResilientConnection
from tenants.rate_limits.admission import Admission

log = logging.getLogger(__name__)
EVERY_S = 1.0
MOST = 10_000  # kinds of refusal with rows of their own until the next write
CHUNK = 500
CLOSE_S = 3.0
OTHERS = "others"
_NAMESPACE = UUID("0f3ab1c4-9d0e-5b71-8a55-6d1f0e4c2a90")
_PREFIX = "ref_"

_WRITE = """
    with j as (select * from jsonb_to_recordset(%s::jsonb) as x(
        flush uuid, action text, id uuid, tenant_id uuid, actor text, api_key_id uuid, tier text,
        quota_id uuid, route text, model text, client_net inet, "limit" bigint, used bigint,
        minute timestamptz, first_at timestamptz, last_at timestamptz, frees_at timestamptz,
        count int, status int, code text, detail jsonb)),
    events as (
        insert into audit_event (at, action, tenant_id, request_id, actor, api_key_id, client_net,
                                 route, model, upstream, success, status, error_code, detail)
        select last_at, action, tenant_id, flush, actor, api_key_id, client_net,
               route, model, '', false, status, code, detail
        from j on conflict (request_id, action, at) do nothing returning request_id)
    insert into tenants_refusal
        (id, tenant_id, actor, tier, quota_id, route, model, client_net, "limit", used, minute,
         first_at, last_at, frees_at, count)
    select j.id, j.tenant_id, j.actor, j.tier, j.quota_id, j.route, j.model, j.client_net,
           j."limit", j.used, j.minute, j.first_at, j.last_at, j.frees_at, j.count
    from j join events on events.request_id = j.flush join tenants_tenant t on t.id = j.tenant_id
    where j.tier <> ''
    on conflict (id) do update set
        count = tenants_refusal.count + excluded.count, used = excluded.used,
        last_at = greatest(tenants_refusal.last_at, excluded.last_at),
        frees_at = greatest(tenants_refusal.frees_at, excluded.frees_at)"""


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """The caller and the route of a refusal. `client_net` is the address without its host part."""

    tenant_id: UUID | None
    actor: str
    route: str = ""
    model: str = ""
    client_net: str | None = None


class RefusalRecorder:
    """The refusals of one process. Methods run on its event loop."""

    def __init__(self, dsn: str) -> None:
        self._noted: dict[UUID, dict[str, Any]] = {}
        self._unwritten: list[dict[str, Any]] = []
        self._others = 0
        self._connection = ResilientConnection(dsn)
        self._flushing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._work())

    def note_from_thread(self, who: RefusedCall, admission: Admission) -> str:
        """Records a refusal, as `note` does, from another thread."""
        now = time.time()
        self._loop.call_soon_threadsafe(self.note, who, admission, now)
        return f"{_PREFIX}{_id(who, admission, _minute(now)).hex}"

    def note(self, who: RefusedCall, admission: Admission, now: float | None = None) -> str:
        """Records a refusal and returns its id, `ref_...`, by which it can be explained."""
        now = now or time.time()
        minute = _minute(now)
        refusal_id = _id(who, admission, minute)
        facts = {
            "tier": admission.tier,
            "quota_id": admission.counter,
            "limit": admission.limit,
            "used": admission.used,
            "minute": _moment(minute),
            "frees_at": _moment(now + admission.frees_in_ms / 1000),
            "status": 429,
            "code": admission.tier,
        }
        self._count(refusal_id, who, now, Action.REQUEST_REFUSED, facts)
        return f"{_PREFIX}{refusal_id.hex}"

    def denied_from_thread(self, who: RefusedCall, status: int, code: str) -> None:
        """Records a denial, as `denied` does, from another thread."""
        self._loop.call_soon_threadsafe(self.denied, who, status, code)

    def denied(
        self, who: RefusedCall, status: int, code: str, action: Action = Action.ACCESS_DENIED
    ) -> None:
        """Records a key that is not valid, or not for this; or another `action`."""
        now = time.time()
        parts = (who.tenant_id, who.actor, who.client_net, code, int(now // 60))
        row_id = uuid5(_NAMESPACE, "|".join(map(str, parts)))
        self._count(row_id, who, now, action, {"tier": "", "status": status, "code": code})

    def _count(
        self, row_id: UUID, who: RefusedCall, now: float, action: Action, facts: dict[str, Any]
    ) -> None:
        """Counts a refusal in its row, or among the others if there are too many."""
        row = self._noted.get(row_id)
        if row is None:
            if len(self._noted) >= MOST:
                self._others += 1
                return
            row = self._noted[row_id] = {
                "flush": uuid4(),
                "action": action,
                "id": row_id,
                "tenant_id": who.tenant_id,
                "actor": who.actor[:80],
                "api_key_id": api_key_of(who.actor),
                "route": who.route[:80],
                "model": who.model[:120],
                "client_net": who.client_net,
                "first_at": _moment(now),
                "count": 0,
            }
        row |= {**facts, "count": row["count"] + 1, "last_at": _moment(now)}

    # Writing -------------------------------------------------------------------------------------
    async def close(self) -> None:
        """Writes what is pending, if the database accepts it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        except TimeoutError:
            log.warning("refusals: PostgreSQL does not respond")
        if lost := sum(row["count"] for row in [*self._unwritten, *self._noted.values()]):
            log.error("refusals: lost %d records", lost)
        await self._connection.close()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.flush()
            except Exception:
                log.exception("cannot write refusals")

    async def flush(self) -> None:
        """Writes each row once, however many attempts it takes."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        while self._unwritten or self._queue_noted():
            chunk = self._unwritten[:CHUNK]
            try:
                await self._write(chunk)
            except (psycopg.DataError, psycopg.IntegrityError):
                await self._one_by_one(chunk)
            except (psycopg.Error, OSError) as problem:
                log.warning("refusals: waiting for PostgreSQL: %s", problem)
                return await self._connection.close()
            del self._unwritten[: len(chunk)]
        return None

    def _queue_noted(self) -> bool:
        """Queues all rows at once, so that none is in two writes. Returns False without rows."""
        self._unwritten = [_with_detail(row) for row in self._noted.values()]
        if self._others:
            log.warning("refusals: too many callers; %d are counted without details", self._others)
            self._unwritten.append(_of_others(self._others))
        self._noted, self._others = {}, 0
        return bool(self._unwritten)

    async def _one_by_one(self, chunk: list[dict[str, Any]]) -> None:
        """Writes each row alone, so that one bad row does not lose the others."""
        for row in chunk:
            try:
                await self._write([row])
            except (psycopg.DataError, psycopg.IntegrityError) as problem:
                log.error("cannot record a refusal: %s", problem)

    async def _write(self, rows: list[dict[str, Any]]) -> None:
        connection = await self._connection.get()
        await connection.execute(_WRITE, (orjson.dumps(rows).decode(),))


def _minute(now: float) -> int:
    return int(now // 60) * 60


def _id(who: RefusedCall, admission: Admission, minute: int) -> UUID:
    parts = [who.tenant_id, who.actor, admission.tier, admission.counter, who.route, minute]
    if who.tenant_id is None:
        parts.append(who.client_net)
    return uuid5(_NAMESPACE, "|".join(map(str, parts)))


def uuid_of(refusal_id: str) -> UUID | None:
    """Returns the id that a client names, or None if it is not one."""
    try:
        return UUID(refusal_id.removeprefix(_PREFIX))
    except ValueError:
        return None


def _with_detail(row: dict[str, Any]) -> dict[str, Any]:
    detail = {"count": row["count"]}
    if row["tier"]:
        detail |= {"refusal": f"{_PREFIX}{row['id'].hex}"}
        detail |= {name: row[name] for name in ("tier", "limit", "used")}
    return {**row, "detail": detail}


def _of_others(count: int) -> dict[str, Any]:
    """Returns a row for refusals of too many different callers to count them separately."""
    return {
        "flush": uuid4(),
        "action": Action.REQUEST_REFUSED,
        "actor": OTHERS,
        "route": "",
        "model": "",
        "last_at": _moment(time.time()),
        "tier": "",
        "count": count,
        "status": 429,
        "code": "",
        "detail": {"count": count, "callers": OTHERS},
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
