"""Checks that the maker of a job still has access: before each of its orders, and meanwhile."""

from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from inference.engines import is_open_to
from inference.models import Job
from tenants.authentication.restriction import is_restricted
from tenants.models import ApiKey, Member, Tenant
from tenants.models.tenant import State
from tenants.roles import Permission, may

NEEDED = Permission.MANAGE_KEYS  # to create a job (console/api/jobs/jobs.py)


def lost(job: Job) -> str:
    """Returns why a job may not go on now, as a code; "" if it may."""
    tenant = Tenant.objects.get(pk=job.tenant_id)
    if tenant.state != State.ACTIVE:
        return "tenant_suspended"
    if is_restricted(job.tenant_id, job.subject_id):
        return "restricted"
    if not (is_open_to(job.tenant_id, job.model) and _has_access(job, tenant)):
        return "access_revoked"
    return ""


def _has_access(job: Job, tenant: Tenant) -> bool:
    if job.api_key_id:
        return _key_works(job.api_key_id)
    if job.member_id is None:
        return True
    rows = Member.objects.filter(pk=job.member_id, tenant_id=job.tenant_id, user__is_active=True)
    member = rows.first()
    return member is not None and may(member.role, NEEDED, tenant.profile)


def _key_works(api_key_id: UUID) -> bool:
    """Returns whether the key, or the one that replaced it, is neither revoked nor expired."""
    own = ApiKey.objects.filter(pk=api_key_id)
    keys = ApiKey.objects.filter(Q(pk__in=own) | Q(pk__in=own.values("replaced_by")))
    alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return keys.filter(alive, revoked_at=None).exists()
