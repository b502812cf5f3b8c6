"""Keyset pagination by time, or by any field, and id: page 1000 costs what page 1 does."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Col
from django.http import Http404

PAGE = 50
MOST = 10**30  # of a number in a cursor
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    rows: list[M]
    older: str  # the cursor of the next page, "" on the last one


def page(rows: QuerySet[M], moment: str, cursor: str) -> Page[M]:
    """Returns the rows from the cursor on, newest first by the field `moment`."""
    if cursor:
        at, pk = _parsed(rows, cursor)
        tie = Q(**{moment: at, "pk__lt": pk})
        rows = rows.filter(Q(**{f"{moment}__lt": at}) | tie, **{f"{moment}__lte": at})
    batch = list(rows.order_by(f"-{moment}", "-pk")[: PAGE + 1])
    last = batch[PAGE - 1] if len(batch) > PAGE else None
    older = f"{getattr(last, moment).isoformat()}~{last.pk}" if last else ""
    return Page(batch[:PAGE], older)


def _parsed(rows: QuerySet[M], cursor: str) -> tuple[datetime, Any]:
    at, _, pk = cursor.partition("~")
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError(at)
        return moment, rows.model._meta.pk.to_python(pk)
    except (ValueError, ValidationError):
        raise Http404 from None


# Pages in any order -------------------------------------------------------------------------------
def sorted_page(rows: QuerySet[M], order: str, cursor: str) -> Page[M]:
    """Returns the rows from the cursor on, by a field such as `user__email`, `-created_at`.

    Rows without a value come last, and rows of the same value by their id. Raises Http404.
    """
    batch = list(sorted_rows(rows, order, cursor)[: PAGE + 1])
    last: Any = batch[PAGE - 1] if len(batch) > PAGE else None
    return Page(batch[:PAGE], _cursor(last.sort_key, last.pk) if last else "")


def sorted_rows(rows: QuerySet[Any], order: str, cursor: str) -> QuerySet[Any]:
    """Returns the rows behind the cursor in the order, with their `sort_key`. Raises Http404."""
    down = order.startswith("-")
    keyed: QuerySet[Any] = rows.annotate(sort_key=F(order.removeprefix("-")))
    if cursor:
        keyed = keyed.filter(_after(keyed, cursor, down=down))
    # PostgreSQL takes no index for NULLS LAST, even where a column has none.
    last_of_all = True if _may_be_null(keyed) else None
    key = F("sort_key")
    first = key.desc(nulls_last=last_of_all) if down else key.asc(nulls_last=last_of_all)
    return keyed.order_by(first, "-pk" if down else "pk")


def _cursor(value: Any, pk: Any) -> str:
    text = value.isoformat() if isinstance(value, datetime) else value
    return f"~{pk}" if value is None else f"={text}~{pk}"


def _after(rows: QuerySet[Any], cursor: str, *, down: bool) -> Q:
    """Returns the condition of the rows behind a cursor."""
    text, _, pk = cursor.rpartition("~")
    try:
        number = rows.model._meta.pk.to_python(pk)
        field = rows.query.annotations["sort_key"].output_field
        value = field.to_python(text[1:]) if text else None
        _refuse_unstorable(value)
    except (ValueError, ValidationError, DecimalException):
        raise Http404 from None
    later = Q(pk__lt=number) if down else Q(pk__gt=number)
    if value is None or "\0" in cursor:
        return Q(sort_key__isnull=True) & later
    beyond = Q(sort_key__lt=value) if down else Q(sort_key__gt=value)
    behind = beyond | (Q(sort_key=value) & later)
    if _may_be_null(rows):
        return behind | Q(sort_key__isnull=True)
    # The bound on the key alone lets PostgreSQL begin in an index.
    return behind & (Q(sort_key__lte=value) if down else Q(sort_key__gte=value))


def _may_be_null(rows: QuerySet[Any]) -> bool:
    """Returns False for a column of the rows' own table that holds no null."""
    key: Any = rows.query.annotations["sort_key"]
    own = isinstance(key, Col) and key.target.model is rows.model
    return not own or bool(key.target.null)


def _refuse_unstorable(value: Any) -> None:
    """Raises ValueError for what no row has, and PostgreSQL fails to compare."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(value)
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value) < MOST):
        raise ValueError(value)
