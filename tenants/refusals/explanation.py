"""Explains a refusal: the limit, its use and users, and the time until it frees."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.models import ApiKey, Member, Quota, QuotaCounter
from tenants.models.quotas.ledger import Kind, LedgerEntry
from tenants.models.quotas.quota import Window
from tenants.models.refusal import Refusal, RefusedBy

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TOP = 5
_ADVICE = {
    RefusedBy.IP: _("Everyone behind this address shares the limit. Spread out the requests."),
    RefusedBy.KEY_RATE: _("Send fewer requests with this key, or have its limit raised."),
    RefusedBy.RATE: _("All keys and members of the tenant share the limit."),
    RefusedBy.KEY_TOKENS: _("Shorten prompts, or set max_tokens lower."),
    RefusedBy.TOKENS: _("Shorten prompts, or set max_tokens lower."),
    RefusedBy.KEY_CONCURRENCY: _(
        "Wait for running requests to finish before you send more with this key."
    ),
    RefusedBy.CONCURRENCY: _("Wait for running requests to finish before you send more."),
    RefusedBy.KEY_BYTES: _("Wait for answers to large requests before sending more with this key."),
    RefusedBy.BYTES: _("Wait for answers to large requests before sending more of them."),
    RefusedBy.KEY_STORED: _("Send smaller bodies, such as images of a lower resolution."),
    RefusedBy.STORED: _("Send smaller bodies, such as images of a lower resolution."),
    RefusedBy.KEY_READERS: _("Close streams that you no longer read."),
    RefusedBy.READERS: _("Close streams that you no longer read."),
    RefusedBy.QUOTA: _("Wait for the next window, or have the quota raised."),
}
_LARGER_THAN_THE_REST = _(
    "The request asked for more than was left. Set max_tokens lower, or have the quota raised. The "
    "next window helps only if the whole quota has room for it."
)
_OF_A_SESSION = _("Begin a new session, or have the quota raised: each session has its own.")


@dataclass(frozen=True, slots=True)
class CallerShare:
    """The requests of one key or member in the relevant time."""

    actor: str  # "key:<uuid>" or "member:<uuid>"
    name: str
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Explanation:
    refusal_id: str
    tier: str
    label: Promise | str  # the tier in words
    advice: Promise | str
    counter: str  # the owner of the limit: an address, a key, the tenant, a quota
    limit: int
    used: int
    count: int  # refusals of this kind within the minute
    first_at: datetime
    last_at: datetime
    frees_at: datetime
    still_refusing: bool
    since: datetime  # `used_by` counts from here to last_at
    used_by: tuple[CallerShare, ...]  # the largest first


def explain(refusal: Refusal) -> Explanation:
    tier = RefusedBy(refusal.tier)
    since = _since(refusal)
    facts = ("limit", "used", "count", "first_at", "last_at", "frees_at")
    return Explanation(
        refusal_id=refusal.public_id,
        tier=tier,
        label=tier.label,
        advice=_advice(refusal),
        counter=_counter(refusal),
        **{name: getattr(refusal, name) for name in facts},
        still_refusing=_still_refusing(refusal),
        since=since,
        used_by=_used_by(refusal, since),
    )


def _since(refusal: Refusal) -> datetime:
    """Returns the start of the relevant time: a bucket's minute or day, a quota's window."""
    if counted := _quota_counter(refusal):
        return counted.starts
    return refusal.first_at - (DAY if refusal.tier.endswith("stored") else MINUTE)


def _quota(refusal: Refusal) -> Quota | None:
    if refusal.quota_id is None:
        return None
    return Quota.objects.filter(pk=refusal.quota_id, tenant_id=refusal.tenant_id).first()


def _quota_counter(refusal: Refusal) -> QuotaCounter | None:
    if refusal.quota_id is None:
        return None
    counters = QuotaCounter.objects.filter(quota_id=refusal.quota_id, tenant_id=refusal.tenant_id)
    counters = counters.filter(session=None)  # which session was refused is not known
    return counters.filter(starts__lte=refusal.last_at, ends__gt=refusal.last_at).first()


def _still_refusing(refusal: Refusal) -> bool:
    """Returns whether the same request would be refused again.

    Slots and buckets free by themselves. A quota still refuses while it has no more room than at
    the time: it may have been raised, or running requests may have released a reservation.
    """
    if refusal.frees_at <= timezone.now():
        return False
    if refusal.tier != RefusedBy.QUOTA:
        return True
    quota, counted = _quota(refusal), _quota_counter(refusal)
    if quota is None or counted is None:
        return False
    return quota.balance().allowed - counted.used - counted.reserved <= _room(refusal)


def _room(refusal: Refusal) -> int:
    """Returns what the limit still had at the time, in its unit."""
    return max(0, refusal.limit - refusal.used)


def _advice(refusal: Refusal) -> Promise:
    quota = _quota(refusal)
    if quota and quota.window == Window.SESSION:
        return _OF_A_SESSION
    if refusal.tier == RefusedBy.QUOTA and _room(refusal):
        return _LARGER_THAN_THE_REST
    return _ADVICE[RefusedBy(refusal.tier)]


def _counter(refusal: Refusal) -> str:
    if refusal.tier == RefusedBy.IP:
        return str(refusal.client_net or "")
    if refusal.tier == RefusedBy.QUOTA:
        return str(_quota(refusal) or refusal.quota_id)
    if refusal.tier.startswith("key_"):
        return _names(refusal.tenant_id, [refusal.actor]).get(refusal.actor, refusal.actor)
    return refusal.tenant.name


# Use by caller ----------------------------------------------------------------------------------
def _used_by(refusal: Refusal, since: datetime) -> tuple[CallerShare, ...]:
    entries = _as_quotas_count if refusal.tier == RefusedBy.QUOTA else _as_limits_count
    rows = list(
        _of_scope(entries(refusal, since), refusal)
        .values("api_key_id", "member_id")
        .annotate(n=Count("id"), sum=Sum("tokens"))
        .order_by(*(("-sum", "-n") if refusal.of_bytes else ("-n", "-sum")))[:TOP]
    )
    names = _names(refusal.tenant_id, [_actor(row) for row in rows])
    return tuple(
        CallerShare(actor, names.get(actor, actor), row["n"], row["sum"])
        for row in rows
        if (actor := _actor(row))
    )


def _as_limits_count(refusal: Refusal, since: datetime) -> QuerySet[LedgerEntry]:
    """Returns all requests that arrived."""
    return LedgerEntry.objects.filter(
        tenant_id=refusal.tenant_id, kind=Kind.RESERVE, at__gte=since, at__lte=refusal.last_at
    )


def _as_quotas_count(refusal: Refusal, since: datetime) -> QuerySet[LedgerEntry]:
    """Returns used tokens, and reservations of running requests, without released ones."""
    ended = LedgerEntry.objects.filter(request_id=OuterRef("request_id"), at__lte=refusal.last_at)
    running = Q(kind=Kind.RESERVE) & ~Exists(ended.exclude(kind=Kind.RESERVE))
    return LedgerEntry.objects.filter(
        Q(kind=Kind.SETTLE) | running,
        tenant_id=refusal.tenant_id,
        counts_at__gte=since,
        at__lte=refusal.last_at,
    )


def _of_scope(entries: QuerySet[LedgerEntry], refusal: Refusal) -> QuerySet[LedgerEntry]:
    """Returns the entries that the limit counts."""
    if refusal.tier.startswith("key_"):
        key_id = _id(refusal.actor)
        return entries.filter(api_key_id=key_id) if key_id else entries.none()
    quota = _quota(refusal)
    if quota is None:
        return entries
    counted = Q(model=quota.model) if quota.model else Q()
    if quota.api_key_id:
        line = ApiKey.objects.line_of(quota.api_key_id)
        counted &= Q(api_key_id__in=line.values("pk"))
    if quota.member_id:
        counted &= Q(member_id=quota.member_id)
    if quota.team_id:
        counted &= Q(team_id=quota.team_id)
    return entries.filter(counted)


def _actor(row: Mapping[str, Any]) -> str:
    """Returns "" for requests of somebody who is erased, such as the rest of a job of theirs."""
    if row["api_key_id"]:
        return f"key:{row['api_key_id']}"
    return f"member:{row['member_id']}" if row["member_id"] else ""


def _id(actor: str) -> UUID | None:
    """Returns the id of a key or member; None if the caller has been erased."""
    try:
        return UUID(actor.partition(":")[2])
    except ValueError:
        return None


def _names(tenant_id: UUID, actors: list[str]) -> dict[str, str]:
    """Returns names of keys and members of this tenant by actor."""
    ids = [id_ for actor in actors if (id_ := _id(actor))]
    keys = ApiKey.objects.filter(tenant_id=tenant_id, id__in=ids)
    members = Member.objects.filter(tenant_id=tenant_id, id__in=ids).select_related("user")
    return {
        **{f"key:{key.id}": key.name for key in keys},
        **{f"member:{member.id}": str(member.user) for member in members},
    }
