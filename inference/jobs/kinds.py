"""Kinds of jobs: their class of work, and what each makes of the trainer's output."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.jobs import results
from inference.models import Job, JobKind

Finish = Callable[[Job, Path], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    `klass` is its class of work in the queue (inference/classes.py). `finish` gets the job and the
    trainer's output folder, and makes the result durable; it may be called again after a crash.
    """

    klass: str
    needs_base: bool
    needs_data: bool
    finish: Finish


KINDS: dict[str, Kind] = {
    JobKind.FINE_TUNE: Kind("finetune", True, True, results.finish_training),
    JobKind.PRETRAIN: Kind("finetune", True, True, results.finish_training),
    JobKind.DISTIL: Kind("finetune", True, True, results.finish_distillation),
    JobKind.QUANTISE: Kind("preprocess", True, False, results.finish_quantisation),
    JobKind.CONVERT: Kind("preprocess", True, False, results.finish_conversion),
    JobKind.PREPARE: Kind("preprocess", False, True, results.finish_preparation),
    JobKind.SCORE: Kind("preprocess", True, True, results.finish_scoring),
}
