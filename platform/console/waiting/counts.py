"""Counts what waits for a person, over all their tenants: one statement for each, kept for seconds.

Only what the person's role lets them decide is counted, and nothing that they asked for themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.cache import caches
from django.db.models import Count, IntegerField, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.models import DeletionRequest, LegalHold
from audit.models.deletion import DeletionState
from console.account.invitations import invitations_for
from inference.models import Contest, Dialogue, DialogueStatus, Review
from infrastructure.postgres.scope import is_narrow
from tenants.models import Member, Notice, NoticeState, QuotaRaise, User
from tenants.roles import Permission as P
from tenants.scope import person_scope, tenant_scope

KEPT_S = 10
MOST_TENANTS = 20
RECENT = timedelta(days=1)  # for so long a delivery that failed waits for somebody
_NO_TENANT = ""
LABELS: dict[str, Promise] = {  # by page of the console
    "raises": _("Quota increases to decide"),
    "legal_holds": _("Legal holds to approve or release"),
    "deletions": _("Deletion requests to decide"),
    "reviews": _("Decisions to review"),
    "contests": _("Contested decisions"),
    "inbox": _("Dialogues that wait for a human"),
    "notice_deliveries": _("Notices that were not delivered"),
    "account": _("Invitations to you"),
}
_NEEDS: dict[str, P] = {
    "raises": P.APPROVE_RAISES,
    "legal_holds": P.MANAGE_HOLDS,
    "deletions": P.MANAGE_DELETIONS,
    "reviews": P.REVIEW_DECISIONS,
    "contests": P.REVIEW_DECISIONS,
    "inbox": P.ANSWER_DIALOGUES,
    "notice_deliveries": P.MANAGE_NOTICES,
}
_PLATFORM_PAGES = {
    "raises": "all_raises",
    "deletions": "all_deletions",
    "notice_deliveries": "platform_notice_deliveries",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    page: str
    count: int
    tenant: str = _NO_TENANT  # "" of the person or the whole platform

    @property
    def label(self) -> str:
        return str(LABELS[self.page])

    @property
    def url(self) -> str:
        if self.tenant:
            return reverse(f"console:{self.page}", args=[self.tenant])
        return reverse(f"console:{_PLATFORM_PAGES.get(self.page, self.page)}")


def waiting_for(user: User) -> list[Waiting]:
    """Returns what waits for the person, at most KEPT_S seconds old."""
    key = f"waiting:{user.pk}:{is_narrow()}"
    pages: list[Waiting] | None = caches["process"].get(key)
    if pages is None:
        pages = list(_waiting_for(user))
        caches["process"].set(key, pages, KEPT_S)
    return pages


def _waiting_for(user: User) -> Iterator[Waiting]:
    if invitations := len(invitations_for(user)):
        yield Waiting("account", invitations)
    # Pages in a tenant do not see the whole platform, not even those of operators.
    if user.is_operator and not is_narrow():
        yield from _counted(user, _of_platform(user))
    with person_scope(user.pk):
        members = list(Member.objects.of(user).order_by("tenant__name")[:MOST_TENANTS])
    for member in members:
        with tenant_scope(member.tenant_id, user.pk):
            permitted = {page for page, needed in _NEEDS.items() if member.may(needed)}
            rows = {page: of for page, of in _of_tenant(member, user).items() if page in permitted}
            yield from list(_counted(user, rows, member.tenant.name))


def _counted(
    user: User, rows: dict[str, QuerySet[Any]], tenant: str = _NO_TENANT
) -> Iterator[Waiting]:
    """Yields pages on which something waits, by one statement."""
    if not rows:
        return
    counts = {page: _count(of) for page, of in rows.items()}
    row: Any = User.objects.filter(pk=user.pk).values(**counts).get()
    for page, count in row.items():
        if count:
            yield Waiting(page, count, tenant)


def _count(rows: QuerySet[Any]) -> Coalesce:
    one_group = rows.order_by().annotate(group=Value(1)).values("group")
    number = one_group.annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number, output_field=IntegerField()), 0)


def _of_tenant(member: Member, user: User) -> dict[str, QuerySet[Any]]:
    tenant_id, own, now = member.tenant_id, member.actor, timezone.now()
    failed = Notice.objects.filter(target__isnull=False, state=NoticeState.FAILED)
    reviews = Review.objects.filter(tenant=tenant_id).free_for(own)
    return {
        "raises": QuotaRaise.objects.filter(tenant=tenant_id, quota__set_by_platform=False)
        .waiting()
        .exclude(requested_by=user),
        "legal_holds": LegalHold.objects.filter(_undecided(own), tenant_id=tenant_id),
        "deletions": DeletionRequest.objects.filter(
            tenant_id=tenant_id, state=DeletionState.REQUESTED
        ),
        "reviews": reviews,
        "contests": Contest.objects.open().filter(tenant=tenant_id).exclude(created_by=own),
        "inbox": Dialogue.objects.filter(tenant=tenant_id, status=DialogueStatus.WAITING),
        "notice_deliveries": failed.filter(tenant=tenant_id, ended_at__gt=now - RECENT),
    }


def _of_platform(user: User) -> dict[str, QuerySet[Any]]:
    failed = Notice.objects.filter(tenant=None, target__isnull=False, state=NoticeState.FAILED)
    return {
        "raises": QuotaRaise.objects.filter(quota__set_by_platform=True)
        .waiting()
        .exclude(requested_by=user),
        "deletions": DeletionRequest.objects.filter(state=DeletionState.REQUESTED),
        "notice_deliveries": failed.filter(ended_at__gt=timezone.now() - RECENT),
    }


def _undecided(actor: str) -> Q:
    """Selects legal holds, and releases, that wait for somebody other than who asked."""
    now = timezone.now()
    to_approve = Q(approved_at=None, waits_until__gt=now) & ~Q(requested_by=actor)
    to_release = Q(release_asked_at__isnull=False) & ~Q(release_asked_by=actor)
    return Q(released_at=None, expires_at__gt=now) & (to_approve | to_release)
