"""Lists in OpenAI's shape: newest first, from a cursor that is the last item's id."""

from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from inference.api.http.request import Request
from inference.errors import BadRequest

M = TypeVar("M", bound=Model)
_KNOWN = {"limit", "order", "after"}


@dataclass(frozen=True, slots=True)
class Page:
    limit: int
    after: UUID | None = None
    newest_first: bool = True
    filters: dict[str, str] = field(default_factory=dict)

    def of(self, rows: QuerySet[M]) -> tuple[list[M], bool]:
        """Returns the page's rows, and whether there are more. Raises BadRequest."""
        order = ["-created_at", "-pk"] if self.newest_first else ["created_at", "pk"]
        if self.after:
            rows = self._from_cursor(rows, self.after)
        page_rows = list(rows.order_by(*order)[: self.limit + 1])
        return page_rows[: self.limit], len(page_rows) > self.limit

    def _from_cursor(self, rows: QuerySet[M], after: UUID) -> QuerySet[M]:
        last = rows.filter(pk=after).values_list("created_at", flat=True).first()
        if last is None:
            raise _no_cursor()
        side = "lt" if self.newest_first else "gt"
        beyond = Q(**{f"created_at__{side}": last})
        return rows.filter(beyond | Q(**{"created_at": last, f"pk__{side}": after}))

    def as_openai(self, data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": has_more,
        }


def parsed_page(
    request: Request, prefix: str, *, default: int, most: int, filters: frozenset[str] = frozenset()
) -> Page:
    """Parse the query. Raises BadRequest.

    `prefix` is that of ids, `filters` names further parameters.
    """
    parameters = dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))
    if unknown := set(parameters) - _KNOWN - filters:
        name = min(unknown)
        raise BadRequest(f"there is no parameter `{name}` here", param=name)
    limit = parameters.pop("limit", str(default))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= most):
        raise BadRequest(f"`limit` must be a number from 1 to {most}", param="limit")
    order, after = parameters.pop("order", "desc"), parameters.pop("after", "")
    if order not in ("asc", "desc"):
        raise BadRequest("`order` must be asc or desc", param="order")
    return Page(int(limit), _cursor(after, prefix), order == "desc", parameters)


def _cursor(after: str, prefix: str) -> UUID | None:
    if not after:
        return None
    try:
        return UUID(hex=after.removeprefix(prefix))
    except ValueError:
        raise _no_cursor() from None


def _no_cursor() -> BadRequest:
    return BadRequest("`after` must be the id of an object in this list", param="after")
