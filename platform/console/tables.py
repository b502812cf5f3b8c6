"""Tables of pages: searched, sorted, paged by keyset, and exported as CSV, each by its columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import attrgetter, or_
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.functional import Promise

from audit.actions import Action
from audit.trail.record import act
from console import downloads
from console.authorization import ConsoleRequest
from console.paging import Page, sorted_page
from infrastructure.csv_cells import csv_lines, no_formula

MOST_EXPORTED = 50_000  # rows of a file
LONGEST_SEARCH = 100  # characters


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `value` is what a file has: a path of attributes, or a function of the row.

    `sort` is the field by which the table can be sorted; "" for none. Without a value the column is
    the page's alone; with `file_only` the file's.
    """

    label: str | Promise
    value: str | Callable[[Any], Any] = ""
    sort: str = ""
    numbers: bool = False
    file_only: bool = False

    def of(self, row: Any) -> Any:
        return self.value(row) if callable(self.value) else attrgetter(self.value)(row)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column, with the address that sorts by it."""

    label: str | Promise
    url: str  # "" if the table cannot be sorted by it
    direction: str  # as `aria-sort` says it
    numbers: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of a table, as templates/console/_table_*.html show it."""

    rows: list[Any]
    older: str
    heads: list[Head]
    search: str
    searchable: bool
    sort: str
    export_url: str


@dataclass(frozen=True)
class Table:
    """A table by its columns. `order` is the column by which it is sorted at first."""

    name: str  # of its file
    columns: Mapping[str, Column]
    order: str
    search: tuple[str, ...] = ()  # fields that a search looks into
    sorts: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sorts.update({name: each.sort for name, each in self.columns.items() if each.sort})

    def shown(self, request: ConsoleRequest, rows: QuerySet[Any]) -> Shown:
        """Returns the page that the address asks for. Raises Http404."""
        text, sort = self._search(request), self._sort(request)
        cursor = request.GET.get("cursor", "")
        page: Page[Any] = sorted_page(self._matching(rows, text), self._field(sort), cursor)
        return Shown(
            page.rows,
            page.older,
            [
                self._head(request, name, sort)
                for name, c in self.columns.items()
                if not c.file_only
            ],
            text,
            bool(self.search),
            sort,
            _address(request, export="csv", cursor=""),
        )

    def file(self, request: ConsoleRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Returns the file of all rows that match, None if the address asks for the page.

        The export is on record.
        """
        if request.method != "GET" or request.GET.get("export") != "csv":
            return None
        filtered = self._matching(rows, self._search(request))
        order = self._field(self._sort(request))
        columns = [column for column in self.columns.values() if column.value]
        matching = filtered.order_by(order, "pk")[:MOST_EXPORTED]
        lines: list[list[Any]] = [[str(column.label) for column in columns]]
        lines += [[cell(column.of(row)) for column in columns] for row in matching]
        tenant_id = request.tenant.id if request.tenant else None
        detail = {"table": self.name, "rows": len(lines) - 1}
        act(Action.TABLE_EXPORT, actor=request.actor, tenant_id=tenant_id, detail=detail)
        text, kind = "\ufeff" + csv_lines(lines, "\n"), "text/csv; charset=utf-8"
        return downloads.file(text, f"forebay-{self.name}.csv", kind)

    def page(
        self, request: ConsoleRequest, rows: QuerySet[Any], template: str, **context: Any
    ) -> HttpResponse:
        """Returns the file if the address asks for it, else the page. Raises Http404."""
        if file := self.file(request, rows):
            return file
        return render(request, template, {"table": self.shown(request, rows), **context})

    def _matching(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        if not text or not self.search:
            return rows
        return rows.filter(reduce(or_, (Q(**{f"{name}__icontains": text}) for name in self.search)))

    def _search(self, request: ConsoleRequest) -> str:
        return request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]

    def _sort(self, request: ConsoleRequest) -> str:
        sort = request.GET.get("sort", "")
        return sort if sort.removeprefix("-") in self.sorts else self.order

    def _field(self, sort: str) -> str:
        name = self.sorts[sort.removeprefix("-")]
        return f"-{name}" if sort.startswith("-") else name

    def _head(self, request: ConsoleRequest, name: str, sort: str) -> Head:
        column = self.columns[name]
        direction = {name: "ascending", f"-{name}": "descending"}.get(sort, "none")
        following = f"-{name}" if direction == "ascending" else name
        url = _address(request, sort=following, cursor="") if column.sort else ""
        return Head(column.label, url, direction, column.numbers)


def _address(request: ConsoleRequest, **changes: str) -> str:
    query = QueryDict(mutable=True)
    for name, value in {**request.GET.dict(), **changes}.items():
        if value:
            query[name] = value
    return f"?{query.urlencode()}"


# Files --------------------------------------------------------------------------------------------
def cell(value: Any) -> Any:
    """Returns the value as a table program reads it: a text is never a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, bool | int | float):
        return value
    return no_formula(str(value))
