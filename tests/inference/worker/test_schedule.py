"""What beat sets going by itself, and when."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from config.celery import app
from config.schedule.scheduler import WORK
from inference.tasks import reconcile
from tenants.models import Reconciliation, Tenant

SCHEDULE = app.conf.beat_schedule


@pytest.mark.unit
def test_every_task_on_it_exists() -> None:
    app.loader.import_default_modules()
    sent = {entry["task"] for entry in SCHEDULE.values()} | {work.task for work in WORK}
    assert sent <= set(app.tasks)
    assert {"inference.sweep", "inference.reconcile", "inference.roll_up"} <= sent


@pytest.mark.unit
def test_each_tenants_day_is_compared_within_the_hour_after_its_midnight() -> None:
    minutes = SCHEDULE["reconcile"]["schedule"].minute
    assert SCHEDULE["reconcile"]["schedule"].hour == set(range(24))
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for name in available_timezones():
        midnight = noon.astimezone(ZoneInfo(name)).replace(hour=0, minute=0).astimezone(UTC)
        found = [midnight + timedelta(minutes=n) for n in range(61)]
        assert any(moment.minute in minutes for moment in found), name


@pytest.mark.django_db
def test_the_task_compares_what_is_due() -> None:
    acme = Tenant.open("acme", by="test")
    reconcile()
    found = Reconciliation.objects.get()
    assert (found.tenant, found.difference) == (acme, 0)
    reconcile()
    assert Reconciliation.objects.count() == 1
