"""The stage goes away also where the platform works on it at that moment."""

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.db.models.signals import pre_delete
from psycopg import errors
from psycopg.conninfo import make_conninfo

from audit.models import DeletionRequest, KeyRotation
from console.isolation.throwaway_tenants import Stage
from tenants.models import Tenant

STEP = """
    insert into audit_erasurestep (tenant_id, request_id, store, evidence, attempts, problem)
    select tenant_id, id, 'a store', '{}', 0, '' from audit_deletionrequest limit 1"""
KEYS = "select from audit_datakey order by subject_id, version for update"


def beside(statement: str) -> None:
    """As a worker's, over a connection of its own: it would have to wait."""
    name = connection.settings_dict["NAME"]
    dsn = make_conninfo(settings.DATABASE_URL, dbname=name, **settings.SEES_ALL)
    with psycopg.connect(dsn, autocommit=True) as worker:
        worker.execute("set lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):
            worker.execute(statement)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("rows", "statement"),
    [
        pytest.param(DeletionRequest, STEP, id="an erasure adds no step"),
        pytest.param(KeyRotation, KEYS, id="a rotation waits for keys, not for its own row"),
    ],
)
def test_what_goes_on_waits_until_everything_is_cleared(rows: type[Model], statement: str) -> None:
    stage = Stage.set()
    assert rows._default_manager.exists()

    def work(**_signal: Any) -> None:
        beside(statement)

    pre_delete.connect(work, sender=rows)
    try:
        stage.clear()
    finally:
        pre_delete.disconnect(work, sender=rows)
    assert not Tenant.objects.filter(pk=stage.own.tenant.pk).exists()
    assert not rows._default_manager.exists()
