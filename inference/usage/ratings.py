"""Ratings of the chat's answers, summed by model. Reasons are not read here."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery

from inference.models import Message, Rating, Usage


@dataclass(frozen=True, slots=True)
class ModelRatings:
    model: str
    good: int
    bad: int


def by_model(tenant_id: UUID, since: datetime, until: datetime) -> list[ModelRatings]:
    """Returns the ratings that people gave in this time, the most rated model first."""
    rated = Message.objects.filter(tenant_id=tenant_id, rating__isnull=False)
    usage = Usage.objects.filter(completion_id=OuterRef("completion_id"))
    rows = rated.filter(rated_at__gte=since, rated_at__lt=until)
    sums = (
        rows.annotate(of_model=Subquery(usage.values("model")[:1]))
        .values("of_model")
        .annotate(
            good=Count("id", filter=Q(rating=Rating.GOOD)),
            bad=Count("id", filter=Q(rating=Rating.BAD)),
        )
    )
    ratings = [ModelRatings(r["of_model"] or "", r["good"], r["bad"]) for r in sums]
    return sorted(ratings, key=lambda one: (-one.good - one.bad, one.model))
