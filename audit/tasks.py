"""Celery's entry points. Beat sends these tasks; the modules that they call do the work."""

from celery import shared_task

from audit.checks import full_verification, self_check
from audit.erasure import execution, tombstones
from audit.exports import portability, trail_export
from audit.keys import rotation
from audit.proof import seal, vanished
from audit.retention import pruning
from audit.trail import partitions
from audit.witnesses import delivery


@shared_task(name="audit.delete", ignore_result=True)
def delete() -> None:
    execution.work()


@shared_task(name="audit.erase_again", ignore_result=True)
def erase_again() -> None:
    tombstones.apply_again()


@shared_task(name="audit.export_subjects", ignore_result=True)
def export_subjects() -> None:
    portability.work()


@shared_task(name="audit.prune", ignore_result=True)
def prune() -> None:
    pruning.prune()


@shared_task(name="audit.rotate", ignore_result=True)
def rotate() -> None:
    rotation.advance_all()


@shared_task(name="audit.partitions", ignore_result=True)
def make_partitions() -> None:
    partitions.make()


@shared_task(name="audit.check", ignore_result=True)
def check() -> None:
    self_check.run()


@shared_task(name="audit.verify", ignore_result=True)
def verify() -> None:
    full_verification.run()


@shared_task(name="audit.export", ignore_result=True)
def export() -> None:
    trail_export.work()


@shared_task(name="audit.seal", ignore_result=True)
def seal_due() -> None:
    try:
        seal.seal_due()
    finally:
        vanished.look()


@shared_task(name="audit.tell_witnesses", ignore_result=True)
def tell_witnesses() -> None:
    delivery.feed_all()
