"""Searches events by subject, actor, action, time and origin, a page at a time in either direction.

Every page costs as much as the first (keyset pagination over time and id), and no filter reads more
than LOOK rows: the most selective filter uses an index, the others are applied to its rows. If too
few rows remain, the page reports how far it has looked, and its cursor continues from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.core import signing
from django.db import connection, transaction

from audit.models import Event
from audit.models.event import REQUESTS, EventQuerySet
from infrastructure.postgres.scope import scope

PAGE, LOOK = 50, 5_000
MOST_ACTORS = 20  # each is a separate index scan
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_NEWER, _OLDER = "at, id", "at desc, id desc"
# The condition of the partial indexes.
ACTS = f"not (action in {REQUESTS})"
# PostgreSQL would use the platform's index for a tenant too, and read every tenant's acts. It
# cannot if the query lacks the index's extra condition.
ALL_ACTS = f"{ACTS} and id > 0"
FAILED = "(not success or status >= 400)"
PLANNER = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
_BEFORE = ", ".join(f"current_setting('{name}')" for name in PLANNER)
_SET = ", ".join(f"set_config('{name}', %s, true)" for name in PLANNER)
_PLAN = f"with before as materialized (select {_BEFORE}) select before.*, {_SET} from before"
_AGAIN = f"select {_SET}"
_COLUMNS = ", ".join(str(field.column) for field in Event._meta.concrete_fields)


Condition = tuple[str, list[Any]]  # SQL, and its parameters


class BadCursor(Exception):
    """The cursor is of another list, or of other filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Conditions on events; empty ones are ignored. `since` is inclusive, `until` exclusive."""

    subject_id: UUID | None = None
    actors: tuple[str, ...] | None = None  # any of these; an empty tuple matches nothing
    api_key_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: UUID | None = None
    net: str = ""  # in the trail's form: 192.0.2.0
    action: str = ""
    acts: bool = False  # acts of people only, without requests
    model: str = ""
    route: str = ""
    status: int | None = None
    failed: bool = False

    @property
    def actor_names(self) -> tuple[str, ...] | None:
        """Returns the actors to search for, each once, including the API key."""
        if self.api_key_id is None:
            return self.actors and tuple(dict.fromkeys(self.actors))
        key = f"key:{self.api_key_id}"
        return (key,) if self.actors is None or key in self.actors else ()


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, newest first. A cursor is "" if there is nothing more on that side."""

    rows: list[Event]
    older: str = ""
    newer: str = ""
    looked_back_to: datetime | None = None  # set if the page is not full: continue from `older`


class _Cursor(NamedTuple):
    side: str  # "older" or "newer" than this event
    at: datetime
    id: int


def page(
    tenant_id: UUID | None,
    filters: Filters,
    cursor: str = "",
    size: int = PAGE,
    look: int = LOOK,
    side: str = "",
) -> EventPage:
    """Returns a page; `tenant_id` None searches the whole platform.

    Raises BadCursor, also for a cursor that is not of `side`.
    """
    salt = _salt(tenant_id, filters)
    start = _verified(cursor, salt) if cursor else None
    if start and side not in ("", start.side):
        raise BadCursor
    way = start.side if start else "older"
    events, reached = _query(tenant_id, filters, start, size + 1, look)
    more, rows = len(events) > size, events[:size]
    rest = _signed(reached, salt, way) if reached else ""
    onward = _cursor_at(rows[-1], salt, way) if more else rest
    if way == "newer":
        back = _cursor_at(rows[0], salt, "older") if rows else ""
        return EventPage(rows[::-1], back, onward)
    back = _cursor_at(rows[0], salt, "newer") if start and rows else ""
    return EventPage(rows, onward, back, reached[0] if reached and not more else None)


def oldest_first(
    tenant_id: UUID, filters: Filters, before: datetime, chunk: int = 2000
) -> Iterator[list[Event]]:
    """Yields all events older than `before`, for files; each chunk is read in its own scope."""
    ends = min(filters.until, before) if filters.until else before
    bounded = replace(filters, until=ends)
    start = _Cursor("newer", filters.since or _FIRST, 0)
    while True:
        with scope(system=True):
            events, reached = _query(tenant_id, bounded, start, chunk, LOOK)
        if events:
            yield events
        if len(events) == chunk:
            start = _Cursor("newer", events[-1].at, events[-1].id)
        elif reached:
            start = _Cursor("newer", *reached)
        else:
            return


# The query ---------------------------------------------------------------------------------------
def _query(
    tenant_id: UUID | None, filters: Filters, start: _Cursor | None, size: int, look: int
) -> tuple[list[Event], tuple[datetime, int] | None]:
    """Returns rows in the search's direction, and the position at which `look` rows were read."""
    if filters.actor_names == ():
        return [], None
    sql, values, bounded = statement(tenant_id, filters, start, size, look)
    with through_indexes(sort=filters.request_id is not None):
        events = list(Event.objects.raw(sql, values))
    if not bounded:
        return events, None
    rows = [event for event in events if not event.looked]  # type: ignore[attr-defined]
    last = [(event.at, event.id) for event in events if event.looked]  # type: ignore[attr-defined]
    return rows, last[0] if last else None


@contextmanager
def through_indexes(*, sort: bool) -> Iterator[None]:
    """Makes PostgreSQL read events in index order.

    It underestimates how many rows pass the policies, and would sort a tenant's millions to find
    the newest ones. Only the few events of one request need a sort.
    """
    if not connection.in_atomic_block:
        with transaction.atomic(), through_indexes(sort=sort):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_PLAN, ["off", "off", "on" if sort else "off"])
        before = cursor.fetchone()[: len(PLANNER)]
        yield
        cursor.execute(_AGAIN, before)


def statement(
    tenant_id: UUID | None, filters: Filters, start: _Cursor | None, size: int, look: int
) -> tuple[str, list[Any], bool]:
    """Returns SQL, its parameters, and whether some filters apply only to rows from the index."""
    order, reverse = _OLDER, _NEWER
    if start and start.side == "newer":
        order, reverse = reverse, order
    indexed, others = _split(tenant_id, filters)
    inner = [*_bounds(tenant_id, filters, start), *indexed]
    rows, values = _select(filters, inner, order, look if others else size)
    if not others:
        return rows, values, False
    outer, more = _all(others)
    sql = f"""
        with looked as materialized ({rows}),
        matching as (select * from looked where {outer} order by {order} limit {size})
        select *, false as looked from matching
        union all
        select *, true from (select * from looked order by {reverse} limit 1) last
        where (select count(*) from looked) = {look}
          and (select count(*) from matching) < {size}"""
    return sql, [*values, *more], True


def _all(conditions: list[Condition]) -> Condition:
    clauses = " and ".join(clause for clause, _ in conditions) or "true"
    return clauses, [value for _, values in conditions for value in values]


def _select(filters: Filters, conditions: list[Condition], order: str, limit: int) -> Condition:
    """Selects events, with several actors each through the index, since one may have millions."""
    where, values = _all(conditions)
    select = f"select {_COLUMNS} from audit_event where {where}"
    ends, actors = f"order by {order} limit {limit}", filters.actor_names
    if actors is None or filters.request_id or filters.subject_id:
        return f"{select} {ends}", values
    if len(actors) > MOST_ACTORS:
        return f"{select} and actor = any(%s) {ends}", [*values, list(actors)]
    each = f"({select} and actor = %s {ends})"
    values = [value for actor in actors for value in (*values, actor)]
    if len(actors) == 1:
        return each, values
    return f"select * from ({' union all '.join([each] * len(actors))}) e {ends}", values


def _bounds(tenant_id: UUID | None, filters: Filters, start: _Cursor | None) -> Iterator[Condition]:
    """Yields the conditions on tenant, time and cursor."""
    if tenant_id:
        yield "tenant_id = %s", [tenant_id]
    if filters.since:
        yield "at >= %s", [filters.since]
    if filters.until:
        yield "at < %s", [filters.until]
    if start:
        sign = ">" if start.side == "newer" else "<"
        # The first condition follows from the second, but lets PostgreSQL skip whole months.
        yield f"at {sign}= %s", [start.at]
        yield f"(at, id) {sign} (%s, %s)", [start.at, start.id]


def _split(tenant_id: UUID | None, filters: Filters) -> tuple[list[Condition], list[Condition]]:
    """Returns the condition that is best served by an index of audit_event, and all the others."""
    indexed: list[Condition] = []
    if filters.request_id:
        indexed.append(("request_id = %s", [filters.request_id]))
    if filters.subject_id:
        indexed.append(("subject_id = %s", [filters.subject_id]))
    by_actor = filters.actor_names is not None
    if by_actor and indexed:
        indexed.append(("actor = any(%s)", [list(filters.actor_names or ())]))
    if tenant_id and filters.net:
        indexed.append(("client_net = %s", [filters.net]))
    if filters.acts or filters.action not in ("", *REQUESTS):
        indexed.append((ACTS if tenant_id else ALL_ACTS, []))
    if tenant_id and (filters.failed or (filters.status or 0) >= 400):
        indexed.append((FAILED, []))
    others = list(_others(tenant_id, filters))
    if by_actor and not (filters.request_id or filters.subject_id):
        return [], indexed + others  # the actor's index is used (_select)
    return indexed[:1], indexed[1:] + others


def _others(tenant_id: UUID | None, filters: Filters) -> Iterator[Condition]:
    for column in ("action", "model", "route"):
        if value := getattr(filters, column):
            yield f"{column} = %s", [value]
    if filters.status is not None:
        yield "status = %s", [filters.status]
    if filters.failed:
        yield "not success", []
    if filters.net and not tenant_id:
        yield "client_net = %s", [filters.net]


def queryset(tenant_id: UUID, filters: Filters) -> EventQuerySet:
    """Returns the same events as a QuerySet, for callers that read them in another order."""
    events = Event.objects.of_tenant(tenant_id).between(filters.since, filters.until)
    equal = {
        name: value
        for name in ("subject_id", "request_id", "action", "model", "route", "status")
        if (value := getattr(filters, name)) not in (None, "")
    }
    events = events.filter(**equal)
    if filters.actor_names is not None:
        events = events.filter(actor__in=filters.actor_names)
    if filters.net:
        events = events.filter(client_net=filters.net)
    if filters.acts:
        events = events.exclude(action__in=REQUESTS)
    return events.filter(success=False) if filters.failed else events


# Cursors -----------------------------------------------------------------------------------------
def beginning(tenant_id: UUID | None, filters: Filters) -> str:
    """Returns a cursor before the oldest event, from which pages lead to newer ones."""
    return _signed((filters.since or _FIRST, 0), _salt(tenant_id, filters), "newer")


def _salt(tenant_id: UUID | None, filters: Filters) -> str:
    text = orjson.dumps(asdict(filters), option=orjson.OPT_SORT_KEYS).decode()
    return f"audit:{tenant_id}:{text}"


def _cursor_at(event: Event, salt: str, side: str) -> str:
    return _signed((event.at, event.id), salt, side)


def _signed(position: tuple[datetime, int], salt: str, side: str) -> str:
    return signing.dumps([side, position[0].isoformat(), position[1]], salt=salt)


def _verified(cursor: str, salt: str) -> _Cursor:
    try:
        side, at, id_ = signing.loads(cursor, salt=salt)
    except signing.BadSignature:
        raise BadCursor from None
    return _Cursor(side, datetime.fromisoformat(at), id_)
