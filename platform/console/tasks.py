"""Celery's entries: beat wakes them, the work stands in the modules named here."""

from celery import shared_task

from console.compliance import running


@shared_task(name="console.check", ignore_result=True)
def check() -> None:
    running.all_night()
