"""Keyset pagination: page 1000 costs what page 1 does.

A cursor is opaque and signed. It says where the last page ended, and is bound to the tenant, the
filters and the ordering it was made for: with others it is refused.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from console.api.problem import Problem, bad_request

USUAL, MOST = 50, 200
PARAMETERS = ("cursor", "limit", "ordering")


def page(
    rows: QuerySet[Any], query: Mapping[str, str], orderings: tuple[str, ...], scope: str
) -> tuple[list[Any], str | None]:
    """Return the rows of the page and the cursor of the next one. Raises Problem.

    `orderings`: names of fields that are never null, with "-" in front for descending; the first is
    the default. `scope`: names the list, so that its cursors open no other.
    """
    ordering, limit = ordering_of(query, orderings), limit_of(query)
    salt = _salt(query, scope, ordering)
    field, back = ordering.removeprefix("-"), ordering.startswith("-")
    if cursor := query.get("cursor"):
        rows = rows.filter(_after(rows, field, back, _position(cursor, salt)))
    sign = "-" if back else ""
    batch = list(rows.order_by(f"{sign}{field}", f"{sign}pk")[: limit + 1])
    if len(batch) <= limit:
        return batch, None
    last = batch[limit - 1]
    at = getattr(last, field)
    ends = at.isoformat() if isinstance(at, datetime) else str(at)
    return batch[:limit], signing.dumps([ends, str(last.pk)], salt=salt)


def ordering_of(query: Mapping[str, str], orderings: tuple[str, ...]) -> str:
    """Raises Problem unless it is one of the orderings."""
    ordering = query.get("ordering", orderings[0])
    if ordering not in orderings:
        raise bad_request({"ordering": [_("Choose one of %s.") % ", ".join(orderings)]})
    return ordering


def limit_of(query: Mapping[str, str]) -> int:
    """Returns the number of rows of a page. Raises Problem."""
    text = query.get("limit", str(USUAL))
    if not (len(text) <= 3 and text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise bad_request({"limit": [_("Choose a number from 1 to %d.") % MOST]})
    return int(text)


def wrong_list() -> Problem:
    return bad_request({"cursor": [_("This cursor is not of this list with these filters.")]})


def _salt(query: Mapping[str, str], scope: str, ordering: str) -> str:
    filters = sorted((k, v) for k, v in query.items() if k not in PARAMETERS)
    return f"api:{scope}:{ordering}:{filters}"


def _position(cursor: str, salt: str) -> list[str]:
    try:
        position: list[str] = signing.loads(cursor, salt=salt)
    except signing.BadSignature:
        raise wrong_list() from None
    return position


def _after(rows: QuerySet[Any], field: str, back: bool, position: list[str]) -> Q:
    meta, side = rows.model._meta, "lt" if back else "gt"
    try:
        at, pk = meta.get_field(field).to_python(position[0]), meta.pk.to_python(position[1])
    except ValidationError:  # a field that has changed its type since
        raise bad_request({"cursor": [_("This cursor is out of date.")]}) from None
    return Q(**{f"{field}__{side}": at}) | Q(**{field: at, f"pk__{side}": pk})
