"""Purges a tenant's cached answers: none of them has a name any more, wherever a copy is."""

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
    """Purge within a second. The bytes are freed if Redis is there, else when they expire."""
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(cache_epoch=F("cache_epoch") + 1)
        act(Action.CACHE_PURGE, actor=by, tenant_id=tenant.id)
        transaction.on_commit(lambda: _free(tenant))


def _free(tenant: Tenant) -> None:
    try:
        stored.purge(tenant.id)
    except redis.RedisError as problem:
        log.warning("kept answers of %s are left to their time: %s", tenant.name, problem)
