"""Orders of kind pretrain: continued pre-training on texts."""

from typing import Any

from trainer.job import Job
from trainer.training.input.texts import text_sequences
from trainer.training.running import train


def run(job: Job) -> dict[str, Any]:
    return train(job, text_sequences)
