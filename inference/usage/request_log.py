"""Search of the rows of requests, newest first, within a bounded time.

Ids are in the order of time, so their index serves every page. Filters on other columns are applied
to windows of rows, which grow until the page is full or PATIENCE_S have passed. Then the page
reports how far the search went, and its cursor continues from there.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.search.events import through_indexes
from inference import request_id
from inference.models import Completion

PAGE, CHUNK = 50, 1_000  # rows of a page, and of a piece of a file
WINDOW, LARGEST_WINDOW = 5_000, 80_000
PATIENCE_S = 1.0
SHORTEST_ID = 6  # digits of the beginning of an id
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_ID = re.compile(r"(?:(?:chatcmpl|cmpl|resp|msg)_?)?([0-9a-f]{1,32})", re.IGNORECASE)


class BadCursor(Exception):
    """The cursor is none of this list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFilters:
    """Conditions on requests; empty ones are ignored. `since` is inclusive, `until` exclusive.

    `id` is a request's id or its beginning, as an answer, a header or a page shows it. It holds
    whatever the time is. `code` is an HTTP status or an error code.
    """

    id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    key: UUID | None = None
    member: UUID | None = None
    team: UUID | None = None
    session: UUID | None = None
    model: str = ""  # as requests name it: with an adapter, BASE:NAME
    pool: str = ""
    state: str = ""
    code: str = ""

    @property
    def range(self) -> Q:
        """Returns the condition that an index serves."""
        if self.id:
            bounds = id_range(self.id)
            return Q(pk__range=bounds) if bounds else Q(pk__in=[])
        since, until = self.since or _FIRST, self.until or _LAST
        first, last = request_id.bounds(since, until)
        return Q(pk__gte=first, pk__lt=last, created_at__gte=since, created_at__lt=until)

    @property
    def others(self) -> Q:
        """Returns the conditions that are applied to the rows of a window."""
        lookups: dict[str, Any] = {
            "api_key_id": self.key,
            "member_id": self.member,
            "usage__team_id": self.team,
            "usage__session": self.session,
            "pool": self.pool,
            "state": self.state,
        }
        equal = Q(**{name: value for name, value in lookups.items() if value})
        return equal & self._of_model & self._of_code

    @property
    def _of_model(self) -> Q:
        if not self.model:
            return Q()
        base, colon, adapter = self.model.rpartition(":")
        of_adapter = Q(model=base, adapter=adapter) if colon else Q()
        return Q(model=self.model) | of_adapter

    @property
    def _of_code(self) -> Q:
        if not self.code:
            return Q()
        if self.code.isascii() and self.code.isdigit():
            return Q(usage__status=int(self.code[:4]))
        return Q(usage__error_code=self.code)


@dataclass(frozen=True, slots=True)
class RequestPage:
    """A page of requests. `older` is the cursor of the next one, "" on the last."""

    rows: list[Completion]
    older: str = ""
    looked_back_to: datetime | None = None  # set if the page is not full: continue from `older`


def id_range(text: str) -> tuple[UUID, UUID] | None:
    """Returns the first and the last id with this beginning; None if it is none, or too short."""
    match = _ID.fullmatch(text.strip().replace("-", ""))
    digits = match[1] if match else ""
    if len(digits) < SHORTEST_ID:
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def page(
    rows: QuerySet[Completion], filters: RequestFilters, cursor: str = "", size: int = 0
) -> RequestPage:
    """Returns a page of `rows`, which are those of a tenant, a member, or all. Raises BadCursor."""
    size = size or PAGE
    rows = rows.filter(filters.range)
    if cursor:
        rows = rows.filter(pk__lt=_position(cursor))
    with through_indexes(sort=bool(filters.id)):
        return _search(rows.order_by("-pk"), filters.others, size)


def _search(rows: QuerySet[Completion], others: Q, size: int) -> RequestPage:
    if not others:
        return _cut(list(rows[: size + 1]), size)
    until, window, matches = time.monotonic() + PATIENCE_S, WINDOW, list[Completion]()
    while True:
        last = rows.values_list("created_at", "pk")[window - 1 : window].first()
        part = rows.filter(pk__gte=last[1]) if last else rows
        matches += part.filter(others)[: size + 1 - len(matches)]
        if last is None or len(matches) > size:
            return _cut(matches, size)
        if time.monotonic() > until:
            return RequestPage(matches, str(last[1]), last[0])
        rows, window = rows.filter(pk__lt=last[1]), min(2 * window, LARGEST_WINDOW)


def each(rows: QuerySet[Completion], filters: RequestFilters) -> Iterator[list[Completion]]:
    """Yields all matching requests, newest first, a query or a few for each piece."""
    cursor = ""
    while True:
        part = page(rows, filters, cursor, CHUNK)
        yield part.rows
        if not (cursor := part.older):
            return


def _cut(matches: list[Completion], size: int) -> RequestPage:
    return RequestPage(matches[:size], str(matches[size - 1].pk) if len(matches) > size else "")


def _position(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise BadCursor from None
