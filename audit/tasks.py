"""Celery's entries: beat wakes them, the work stands in the modules named here."""

from celery import shared_task

from audit import (
    execution,
    exports,
    full_verification,
    partitions,
    portability,
    pruning,
    rotation,
    seal,
    self_check,
    tombstones,
    vanished,
    witness,
)


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
    rotation.go_on_with_all()


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
    exports.work()


@shared_task(name="audit.seal", ignore_result=True)
def seal_due() -> None:
    try:
        seal.seal_due()
    finally:
        vanished.look()


@shared_task(name="audit.tell_witnesses", ignore_result=True)
def tell_witnesses() -> None:
    witness.feed_all()
