"""Celery's entries: beat wakes them, the work stands in the modules named here."""

from celery import shared_task

from audit import execution, partitions, portability, pruning, rotation, self_check


@shared_task(name="audit.delete", ignore_result=True)
def delete() -> None:
    execution.work()


@shared_task(name="audit.export_subjects", ignore_result=True)
def export_subjects() -> None:
    portability.work()


@shared_task(name="audit.prune", ignore_result=True)
def prune() -> None:
    pruning.prune()


@shared_task(name="audit.rotate", ignore_result=True)
def rotate() -> None:
    rotation.go_on_with_all()


@shared_task(name="audit.partitions", ignore_result=True)
def make_partitions() -> None:
    partitions.make()


@shared_task(name="audit.check", ignore_result=True)
def check() -> None:
    self_check.run()
