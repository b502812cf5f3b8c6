"""A tenant's answers go at once: none of them has a name any more, wherever a copy lies."""

import logging

import redis
from django.db import transaction
from django.db.models import F

from audit.actions import Action
from audit.trail.record import act
from inference.cache import stored
from tenants.models import Tenant

log = logging.getLogger(__name__)


def purge(tenant: Tenant, *, by: str) -> None:
    """Holds within a second. Their bytes go from Redis when it is there, else with their time."""
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(cache_epoch=F("cache_epoch") + 1)
        act(Action.CACHE_PURGE, actor=by, tenant_id=tenant.id)
        transaction.on_commit(lambda: _free(tenant))


def _free(tenant: Tenant) -> None:
    try:
        stored.purge(tenant.id)
    except redis.RedisError as problem:
        log.warning("kept answers of %s are left to their time: %s", tenant.name, problem)
