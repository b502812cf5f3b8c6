"""Celery's entry points. Beat sends these tasks; the modules that they call do the work."""

from collections.abc import Callable
from functools import partial
from typing import Any

from celery import shared_task

from audit.checks import catalogue_check, full_verification, verified_export
from audit.erasure import execution, tombstones
from audit.exports import portability, trail_export
from audit.keys import rotation
from audit.proof import seal, vanished
from audit.retention import pruning
from audit.trail import partitions
from audit.witnesses import delivery
from infrastructure.background import Background

EXPORTS = 2  # of the trail, made at the same time


def _task(name: str, work: Callable[[], object]) -> Any:
    def run() -> None:  # what the work returns is for other callers
        work()

    return shared_task(name=name, ignore_result=True)(run)


def _seal_due() -> None:
    try:
        seal.seal_due()
    finally:
        vanished.look()


delete = _task("audit.delete", execution.work)
erase_again = _task("audit.erase_again", tombstones.apply_again)
export_subjects = _task("audit.export_subjects", Background("subjects", portability.work).wake)
prune = _task("audit.prune", pruning.prune)
rotate = _task("audit.rotate", rotation.advance_all)
make_partitions = _task("audit.partitions", partitions.make)
check = _task("audit.check", catalogue_check.run)
verify = _task("audit.verify", full_verification.run)
_make_exports = partial(trail_export.work, verified_export.verified)
export = _task("audit.export", Background("exports", _make_exports, EXPORTS).wake)
seal_due = _task("audit.seal", _seal_due)
tell_witnesses = _task("audit.tell_witnesses", delivery.feed_all)
