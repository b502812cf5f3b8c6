"""The stage goes away also where the platform works on it at that moment."""

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.models.signals import pre_delete
from psycopg import errors
from psycopg.conninfo import make_conninfo

from audit.models import DeletionRequest
from console.isolation.throwaway_tenants import Stage
from tenants.models import Tenant

STEP = """
    insert into audit_erasurestep (tenant_id, request_id, store, evidence, attempts, problem)
    select tenant_id, id, 'a store', '{}', 0, '' from audit_deletionrequest limit 1"""


def add_a_step(**_signal: Any) -> None:
    """As a worker's erasure, over a connection of its own."""
    name = connection.settings_dict["NAME"]
    dsn = make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)
    with psycopg.connect(dsn, autocommit=True) as worker:
        worker.execute("set lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):
            worker.execute(STEP)


@pytest.mark.django_db(transaction=True)
def test_an_erasure_that_goes_on_adds_nothing_to_what_is_cleared() -> None:
    stage = Stage.set()
    assert DeletionRequest.objects.exists()
    pre_delete.connect(add_a_step, sender=DeletionRequest)
    try:
        stage.clear()
    finally:
        pre_delete.disconnect(add_a_step, sender=DeletionRequest)
    assert not Tenant.objects.filter(pk=stage.own.tenant.pk).exists()
    assert not DeletionRequest.objects.exists()
