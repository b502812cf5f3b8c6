"""Celery's tasks. Beat sends them; the modules named here do the work."""

from celery import shared_task

from infrastructure.background import Background
from tenants.notices import delivery, expiry, following, outbox

_deliveries = Background("notices", delivery.deliver)


@shared_task(name="tenants.follow_acts", ignore_result=True)
def follow_acts() -> None:
    following.follow()


@shared_task(name="tenants.deliver_notices", ignore_result=True)
def deliver_notices() -> None:
    _deliveries.wake()


@shared_task(name="tenants.look_at_expiry", ignore_result=True)
def look_at_expiry() -> None:
    expiry.look()
    outbox.forget_old()
