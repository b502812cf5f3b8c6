"""Does one order: `python -m trainer ORDER.json`. The exit code says how it ended."""

import errno
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import TextIO

from trainer.events import Events, Silent, events_of
from trainer.job import Job
from trainer.kinds import KINDS
from trainer.order import Order
from trainer.refusals import EndedElsewhere, Exit, Paused, Refusal

# The end of the first process breaks the sums of the others. Whichever ends first says how the
# order ended, and only the first process knows why.
FIRST_ENDS_S = 20.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: list[str], stderr: TextIO) -> Exit:
    if len(arguments) != 1:
        stderr.write("usage: python -m trainer ORDER.json\n")
        return Exit.BAD_ORDER
    try:
        order = Order.read(Path(arguments[0]))
        with events_of(order.output) as events:
            return _end_of(Job(order, events))
    except Refusal as refusal:
        stderr.write(f"{refusal.message}\n")
        return refusal.ending
    except OSError:
        stderr.write("The folders of the order cannot be written\n")
        return Exit.BAD_ORDER


def _end_of(job: Job) -> Exit:
    """Runs the job and makes an event of its end."""
    _bound_threads(job.order.threads)
    job.listen()
    try:
        result = import_module(KINDS[job.order.kind].module).run(job)
    except Paused:
        return Exit.PAUSED
    except EndedElsewhere as end:
        return end.ending
    except BaseException as error:
        return _failure(job.events, error)
    job.events.result(**result)
    return Exit.DONE


def _failure(events: Events, error: BaseException) -> Exit:
    if isinstance(error, Refusal):
        events.error(error.code, error.message, error.fits)
        return error.ending
    if isinstance(error, MemoryError):
        events.error("out_of_memory", "The memory of this host is too small for the order")
        return Exit.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _FULL:
        _unless_full(events, "disk_full", "The disk is full; the last whole checkpoint is there")
        return Exit.DISK_FULL
    # The words of an error may hold data: only its class and its line are told.
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    events.error("bug", f"{type(error).__name__} in {where}")
    if isinstance(events, Silent):
        time.sleep(FIRST_ENDS_S)
    return Exit.BUG


def _unless_full(events: Events, code: str, message: str) -> None:
    """Writes an error where even that may find no room."""
    try:
        events.error(code, message)
    except OSError:
        sys.stderr.write(f"{message}\n")


def _bound_threads(threads: int) -> None:
    """Bounds numpy and torch, before they load: OpenMP spins where threads outnumber cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stderr))
