"""Celery's tasks. Beat starts them; the work is in the modules named here."""

from celery import shared_task

from console.compliance import running


@shared_task(name="console.check", ignore_result=True)
def check() -> None:
    running.all_night()


@shared_task(name="console.check_general", ignore_result=True)
def check_general() -> None:
    running.run_general_if_old()
