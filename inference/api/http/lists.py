"""Lists of a caller's objects: newest first, from a cursor that is the last item's id."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.db.models import Q

from inference.api.http.request import Request
from inference.api.ownership import readable
from inference.errors import BadRequest, must_be
from tenants.caller import Caller

Shape = Callable[[Any], dict[str, Any]]
_PAGE = {"limit", "order", "after"}


def query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))


def listed(
    caller: Caller, rows: Any, shape: Shape, page: Mapping[str, str], bounds: tuple[str, int, int]
) -> dict[str, Any]:
    """Returns a page of the caller's rows, in the caller's scope. Raises BadRequest.

    `page` has the parameters of the query, `bounds` the prefix of ids, usual and most rows.
    """
    prefix, default, most = bounds
    if unknown := set(page) - _PAGE:
        name = min(unknown)
        raise BadRequest(f"there is no parameter `{name}` here", param=name)
    limit, order = page.get("limit", str(default)), page.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= most):
        raise must_be("limit", f"a number from 1 to {most}")
    if order not in ("asc", "desc"):
        raise must_be("order", "asc or desc")
    sign, side = ("-", "lt") if order == "desc" else ("", "gt")
    rows = readable(rows, caller)
    if after := page.get("after"):
        rows = rows.filter(_beyond(rows, after.removeprefix(prefix), side))
    page_rows = list(rows.order_by(f"{sign}created_at", f"{sign}pk")[: int(limit) + 1])
    data = [shape(row) for row in page_rows[: int(limit)]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(page_rows) > len(data),
    }


def _beyond(rows: Any, after: str, side: str) -> Q:
    """Returns the condition of rows behind a cursor. Raises BadRequest."""
    with suppress(ValueError):
        pk = UUID(hex=after)
        if last := rows.filter(pk=pk).values_list("created_at", flat=True).first():
            return Q(**{f"created_at__{side}": last}) | Q(**{"created_at": last, f"pk__{side}": pk})
    raise must_be("after", "the id of an object in this list")
