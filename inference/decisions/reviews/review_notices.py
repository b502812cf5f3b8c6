"""A notice a day of decisions that wait for a review, once one has waited for an hour."""

from datetime import timedelta

from django.db.models import Count, Min
from django.utils import timezone

from inference.models import Review
from tenants.notices.outbox import announce
from tenants.notices.rules import holders
from tenants.roles import Permission

PATIENCE = timedelta(hours=1)


def run() -> None:
    now = timezone.now()
    rows = Review.objects.waiting().values("tenant_id")
    waiting = rows.annotate(n=Count("pk"), oldest=Min("created_at"))
    for row in waiting.filter(oldest__lt=now - PATIENCE):
        tenant_id = row["tenant_id"]
        announce(
            "reviews.waiting",
            f"reviews:{tenant_id}:{now:%Y-%m-%d}",
            tenant_id=tenant_id,
            people=holders(Permission.REVIEW_DECISIONS, tenant_id),
            facts={"waiting": row["n"]},
        )
