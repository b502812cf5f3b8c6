"""Keyset pagination by time and id: page 1000 costs what page 1 does."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import Http404

PAGE = 50
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
