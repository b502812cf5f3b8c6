"""Whether the maker of a job still has access: asked before each of its orders."""

from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from inference.models import Job
from tenants.models import ApiKey, Member, Tenant
from tenants.models.tenant import State


def lost(job: Job) -> str:
    """Returns why a job may not go on now, as a code; "" if it may."""
    if Tenant.objects.get(pk=job.tenant_id).state != State.ACTIVE:
        return "tenant_suspended"
    if job.api_key_id:
        return "" if _key_works(job.api_key_id) else "access_revoked"
    if job.member_id is None:
        return ""
    is_member = Member.objects.filter(pk=job.member_id, tenant_id=job.tenant_id).exists()
    return "" if is_member else "access_revoked"


def _key_works(api_key_id: UUID) -> bool:
    """Returns whether the key, or the one that replaced it, is neither revoked nor expired."""
    own = ApiKey.objects.filter(pk=api_key_id)
    keys = ApiKey.objects.filter(Q(pk__in=own) | Q(pk__in=own.values("replaced_by")))
    alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return keys.filter(alive, revoked_at=None).exists()
