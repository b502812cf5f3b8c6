"""Orders of kind fine-tune: supervised on chats, with a loss on the assistant's words."""

from typing import Any

from trainer.job import Job
from trainer.training.input.chats import chat_sequences
from trainer.training.running import train


def run(job: Job) -> dict[str, Any]:
    return train(job, chat_sequences)
