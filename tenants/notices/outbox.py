"""Writes a notice for each recipient, in the open transaction."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from tenants.models import Notice, NoticePreference, NoticeTarget, User
from tenants.notices.events import ALWAYS_MAILED, EVENTS, Group

Facts = Mapping[str, Any]
KEPT = timedelta(days=30)  # notices of no tenant: to operators, and about accounts


def announce(
    event: str,
    occasion: str,
    *,
    tenant_id: UUID | None,
    people: Iterable[User] = (),
    facts: Facts | None = None,
    by_mail: Facts | None = None,
    except_target: UUID | None = None,
) -> None:
    """Tell people by mail, and the tenant's targets. A second call for an occasion adds nothing.

    `by_mail` are facts for the person alone.
    """
    group, common = EVENTS[event].group, dict(facts or {})
    for_people = {**common, **(by_mail or {})}
    row = {"tenant_id": tenant_id, "event": event, "occasion": occasion}
    notices = [Notice(user=user, facts=for_people, **row) for user in _not_muted(people, group)]
    targets = NoticeTarget.objects.for_group(tenant_id, group)
    others = [target for target in targets if target.pk != except_target]
    notices += [Notice(target=target, facts=common, **row) for target in others]
    Notice.objects.bulk_create(notices, ignore_conflicts=True)


def forget_old() -> None:
    """Delete what ended, of no tenant. Retention deletes the notices of tenants."""
    before = timezone.now() - KEPT
    Notice.objects.filter(tenant=None).ended_before(before).delete()


def _not_muted(people: Iterable[User], group: Group) -> list[User]:
    active = {user.pk: user for user in people if user.is_active}
    if group in ALWAYS_MAILED:
        return list(active.values())
    rows = NoticePreference.objects.filter(user__in=active, muted__contains=[group])
    muted = set(rows.values_list("user_id", flat=True))
    return [user for pk, user in active.items() if pk not in muted]
