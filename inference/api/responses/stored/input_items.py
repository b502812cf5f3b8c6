"""`GET /v1/responses/{id}/input_items`: a page of the input of a stored response."""

from typing import Any

from inference.api.http.callers import address_counted_caller
from inference.api.http.request import Request
from inference.api.responses.items import Item
from inference.api.responses.stored import query, resource
from inference.errors import must_be

DEFAULT, MOST = 20, 100
_PARAMETERS = ("after", "limit", "order")


async def listed(request: Request, response_id: str) -> None:
    caller = await address_counted_caller(request)
    wanted = query.parameters(request, _PARAMETERS)
    limit = query.number(wanted, "limit", DEFAULT, 1, MOST)
    if (order := wanted.get("order", "desc")) not in ("asc", "desc"):
        raise must_be("order", "asc or desc")
    row = await resource.own(request.call, caller, response_id)
    items = (await resource.read(row)).items
    ordered = items if order == "asc" else items[::-1]
    await request.answer_json(_page(_behind(ordered, wanted.get("after")), limit))


def _behind(items: list[Item], after: str | None) -> list[Item]:
    """Returns the items behind the one with this id. Raises BadRequest."""
    if not after:
        return items
    position = next((n for n, item in enumerate(items) if item.get("id") == after), None)
    if position is None:
        raise must_be("after", "the id of an item in this list")
    return items[position + 1 :]


def _page(items: list[Item], limit: int) -> dict[str, Any]:
    data = items[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].get("id") if data else None,
        "last_id": data[-1].get("id") if data else None,
        "has_more": len(items) > limit,
    }
