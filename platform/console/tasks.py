"""Celery's tasks. Beat starts them; the work is in the modules named here."""

from celery import shared_task

from console.compliance import runs


@shared_task(name="console.check", ignore_result=True)
def check() -> None:
    runs.all_night()


@shared_task(name="console.check_general", ignore_result=True)
def check_general() -> None:
    runs.run_general_if_old()
