"""Celery's tasks. Beat starts them; the work is in the modules named here."""

from celery import shared_task

from console.compliance import runs
from tenants.accounts import due_rotations


@shared_task(name="console.check", ignore_result=True)
def check() -> None:
    runs.all_night()


@shared_task(name="console.check_general", ignore_result=True)
def check_general() -> None:
    runs.run_general_if_old()


@shared_task(name="console.rotate_due_keys", ignore_result=True)
def rotate_due_keys() -> None:
    due_rotations.rotate_due_keys()
