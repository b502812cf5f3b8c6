"""Finding events: by who, what, when and from where, a page at a time in either direction.

A page costs what page 1 does (keyset over time and id), and no filter costs more than LOOK rows:
the rarest of the filters drives an index, the others are asked of what it brings. Where they leave
too little, the page says how far it has looked, and its cursor goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.core import signing
from django.db import connection, transaction
from django.db.models import QuerySet

from audit.models import Event
from audit.models.event import REQUESTS
from infrastructure.postgres.scope import scope

PAGE, LOOK = 50, 5_000
MOST_ACTORS = 20  # each has its own way through an index
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
# As the partial indexes say it.
ACTS = f"not (action in {REQUESTS})"
# PostgreSQL would take the platform's index for a tenant too, and read everybody's acts. It
# cannot where the question does not say what the index does.
ALL_ACTS = f"{ACTS} and id > 0"
FAILED = "(not success or status >= 400)"
PLANNER = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
_BEFORE = ", ".join(f"current_setting('{name}')" for name in PLANNER)
_SET = ", ".join(f"set_config('{name}', %s, true)" for name in PLANNER)
_PLAN = f"with before as materialized (select {_BEFORE}) select before.*, {_SET} from before"
_AGAIN = f"select {_SET}"
_COLUMNS = ", ".join(str(field.column) for field in Event._meta.concrete_fields)


class BadCursor(Exception):
    """Of another list, or with other filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What an event must be like; what is empty is not asked. Times: from, and before."""

    subject_id: UUID | None = None
    actors: tuple[str, ...] | None = None  # any of these; none at all finds nothing
    api_key_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: UUID | None = None
    net: str = ""  # as it stands on record: 192.0.2.0
    action: str = ""
    acts: bool = False  # what people did, without the requests
    model: str = ""
    route: str = ""
    status: int | None = None
    failed: bool = False

    @property
    def anybody(self) -> tuple[str, ...] | None:
        """As actors, each once; a key is one."""
        if self.api_key_id is None:
            return self.actors and tuple(dict.fromkeys(self.actors))
        key = f"key:{self.api_key_id}"
        return (key,) if self.actors is None or key in self.actors else ()


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. A cursor is "" where there is nothing more on that side."""

    rows: list[Event]
    older: str = ""
    newer: str = ""
    looked_back_to: datetime | None = None  # not filled: go on from `older`


@dataclass(frozen=True, slots=True)
class _Cursor:
    side: str  # "older" or "newer" than this event
    at: datetime
    id: int


@dataclass(slots=True)
class _Where:
    clauses: list[str]
    given: list[Any]

    def ask(self, clause: str, *given: Any) -> None:
        self.clauses.append(clause)
        self.given += given

    def __str__(self) -> str:
        return " and ".join(self.clauses) or "true"


def page(
    tenant_id: UUID | None,
    filters: Filters,
    cursor: str = "",
    size: int = PAGE,
    look: int = LOOK,
    side: str = "",
) -> Page:
    """`tenant_id` None: of the whole platform. Raises BadCursor, also where it is not of `side`."""
    salt = _salt(tenant_id, filters)
    start = _opened(cursor, salt) if cursor else None
    if start and side not in ("", start.side):
        raise BadCursor
    newer = start is not None and start.side == "newer"
    found, reached = _found(tenant_id, filters, start, size + 1, look)
    more, rows = len(found) > size, found[:size]
    goes_on = _encrypted(reached, salt, "newer" if newer else "older") if reached else ""
    if newer:
        rows.reverse()
        after = _mark(rows[0], salt, "newer") if more else goes_on
        return Page(rows, _mark(rows[-1], salt, "older") if rows else "", after)
    after = _mark(rows[-1], salt, "older") if more else goes_on
    back = _mark(rows[0], salt, "newer") if start and rows else ""
    return Page(rows, after, back, reached[0] if reached and not more else None)


def oldest_first(
    tenant_id: UUID, filters: Filters, before: datetime, chunk: int = 2000
) -> Iterator[list[Event]]:
    """All that was there `before`, for files; each chunk is read in a scope of its own."""
    ends = min(filters.until, before) if filters.until else before
    bounded = replace(filters, until=ends)
    start = _Cursor("newer", filters.since or _FIRST, 0)
    while True:
        with scope(system=True):
            found, reached = _found(tenant_id, bounded, start, chunk, LOOK)
        if found:
            yield found
        if len(found) == chunk:
            start = _Cursor("newer", found[-1].at, found[-1].id)
        elif reached:
            start = _Cursor("newer", *reached)
        else:
            return


# The query ---------------------------------------------------------------------------------------
def _found(
    tenant_id: UUID | None, filters: Filters, start: _Cursor | None, size: int, look: int
) -> tuple[list[Event], tuple[datetime, int] | None]:
    """Rows in the direction of the search, and where it stopped for having looked at enough."""
    if filters.anybody == ():
        return [], None
    sql, given, bounded = statement(tenant_id, filters, start, size, look)
    with through_indexes(sort=filters.request_id is not None):
        found = list(Event.objects.raw(sql, given))
    if not bounded:
        return found, None
    rows = [event for event in found if not event.looked]  # type: ignore[attr-defined]
    last = [(event.at, event.id) for event in found if event.looked]  # type: ignore[attr-defined]
    return rows, last[0] if last else None


@contextmanager
def through_indexes(*, sort: bool) -> Iterator[None]:
    """PostgreSQL guesses too low how many rows the policies let through. It would then sort a
    tenant's millions to find the newest ones, which an index has in order. Only the few events of
    a request have to be sorted.
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
    """SQL, its parameters, and whether some filters are asked only of what the index brings."""
    newer = start is not None and start.side == "newer"
    order = "at, id" if newer else "at desc, id desc"
    inner, outer = _Where([], []), _Where([], [])
    for clause, *values in _placed(tenant_id, filters, start):
        inner.ask(clause, *values)
    drivers, others = _drivers(tenant_id, filters)
    for clause, *values in drivers:
        inner.ask(clause, *values)
    for clause, *values in others:
        outer.ask(clause, *values)
    if not others:
        return _driven(filters, inner, order, size)
    rows, given, _ = _driven(filters, inner, order, look)
    sql = f"""
        with looked as materialized ({rows}),
        matching as (select * from looked where {outer} order by {order} limit {size})
        select *, false as looked from matching
        union all
        select *, true from (select * from looked order by {_reverse(order)} limit 1) last
        where (select count(*) from looked) = {look}
          and (select count(*) from matching) < {size}"""
    return sql, [*given, *outer.given], True


def _driven(filters: Filters, where: _Where, order: str, limit: int) -> tuple[str, list[Any], bool]:
    """Through the index of each actor, of one of which there may be millions."""
    select = f"select {_COLUMNS} from audit_event"
    actors = filters.anybody
    if actors is None or filters.request_id or filters.subject_id:
        ends = f"order by {order} limit {limit}"
        return f"{select} where {where} {ends}", where.given, False
    ends = f"order by {order} limit {limit}"
    if len(actors) > MOST_ACTORS:
        return (
            f"{select} where {where} and actor = any(%s) {ends}",
            [*where.given, list(actors)],
            False,
        )
    each = f"({select} where {where} and actor = %s {ends})"
    if len(actors) == 1:
        return each, [*where.given, actors[0]], False
    given = [value for actor in actors for value in (*where.given, actor)]
    return f"select * from ({' union all '.join([each] * len(actors))}) e {ends}", given, False


def _placed(
    tenant_id: UUID | None, filters: Filters, start: _Cursor | None
) -> list[tuple[Any, ...]]:
    """Whose, when, and from where on."""
    asked: list[tuple[Any, ...]] = []
    if tenant_id:
        asked.append(("tenant_id = %s", tenant_id))
    if filters.since:
        asked.append(("at >= %s", filters.since))
    if filters.until:
        asked.append(("at < %s", filters.until))
    if start:
        sign = ">" if start.side == "newer" else "<"
        # The first says nothing new, but lets PostgreSQL leave out whole months.
        asked.append((f"at {sign}= %s", start.at))
        asked.append((f"(at, id) {sign} (%s, %s)", start.at, start.id))
    return asked


def _drivers(
    tenant_id: UUID | None, filters: Filters
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What an index of audit_event answers by itself, the best of it, and all the rest."""
    asked: list[tuple[Any, ...]] = []
    if filters.request_id:
        asked.append(("request_id = %s", filters.request_id))
    if filters.subject_id:
        asked.append(("subject_id = %s", filters.subject_id))
    by_actor = filters.anybody is not None
    if by_actor and asked:
        asked.append(("actor = any(%s)", list(filters.anybody or ())))
    if tenant_id and filters.net:
        asked.append(("client_net = %s", filters.net))
    if filters.acts or filters.action not in ("", *REQUESTS):
        asked.append((ACTS if tenant_id else ALL_ACTS,))
    if tenant_id and (filters.failed or (filters.status or 0) >= 400):
        asked.append((FAILED,))
    others = list(_others(tenant_id, filters))
    if by_actor and not (filters.request_id or filters.subject_id):
        return [], asked + others  # the actor drives (_driven)
    return asked[:1], asked[1:] + others


def _others(tenant_id: UUID | None, filters: Filters) -> Iterator[tuple[Any, ...]]:
    for column in ("action", "model", "route"):
        if value := getattr(filters, column):
            yield f"{column} = %s", value
    if filters.status is not None:
        yield "status = %s", filters.status
    if filters.failed:
        yield ("not success",)
    if filters.net and not tenant_id:
        yield "client_net = %s", filters.net


def _reverse(order: str) -> str:
    return "at desc, id desc" if order == "at, id" else "at, id"


def queryset(tenant_id: UUID, filters: Filters) -> QuerySet[Event]:
    """The same events, for what reads them in another order."""
    events = Event.objects.of_tenant(tenant_id).between(filters.since, filters.until)
    equal = {
        name: value
        for name in ("subject_id", "request_id", "action", "model", "route", "status")
        if (value := getattr(filters, name)) not in (None, "")
    }
    events = events.filter(**equal)
    if filters.anybody is not None:
        events = events.filter(actor__in=filters.anybody)
    if filters.net:
        events = events.filter(client_net=filters.net)
    if filters.acts:
        events = events.exclude(action__in=REQUESTS)
    return events.filter(success=False) if filters.failed else events


# Cursors -----------------------------------------------------------------------------------------
def beginning(tenant_id: UUID | None, filters: Filters) -> str:
    """Of the oldest page, from where one goes on to newer ones."""
    return _encrypted((filters.since or _FIRST, 0), _salt(tenant_id, filters), "newer")


def _salt(tenant_id: UUID | None, filters: Filters) -> str:
    asked = orjson.dumps(asdict(filters), option=orjson.OPT_SORT_KEYS).decode()
    return f"audit:{tenant_id}:{asked}"


def _mark(event: Event, salt: str, side: str) -> str:
    return _encrypted((event.at, event.id), salt, side)


def _encrypted(place: tuple[datetime, int], salt: str, side: str) -> str:
    return signing.dumps([side, place[0].isoformat(), place[1]], salt=salt)


def _opened(cursor: str, salt: str) -> _Cursor:
    try:
        side, at, id_ = signing.loads(cursor, salt=salt)
    except signing.BadSignature:
        raise BadCursor from None
    return _Cursor(side, datetime.fromisoformat(at), id_)
