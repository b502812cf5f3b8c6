"""The report of a distillation: sizes, and what the student keeps of its teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.base.opening import open_model, open_tokenizer
from trainer.scoring.answers import Reader
from trainer.scoring.figures import score
from trainer.scoring.next_tokens import Tally, next_logits
from trainer.scoring.tasks import TaskSet
from trainer.training.input.sequences import Sequences

MOST_BLOCKS = 400  # of the held-out part, from all over
WHAT_IS_LOST = (
    "The student was taught one domain. What the data does not hold, such as general knowledge, "
    "other languages and other tasks, is mostly lost, also where these figures do not show it."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A model with the tokenizer that it reads by."""

    model: Any
    tokenizer: Any

    def size(self) -> dict[str, int]:
        config = self.model.config
        return {
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "layers": config.num_hidden_layers,
            "words": config.vocab_size,
            "feed_forward": config.intermediate_size,
        }

    def reader(self, length: int) -> Reader:
        return Reader(self.model.eval(), self.tokenizer, length, str(self.model.device))


def next_token_report(
    teacher: Compared, student: Compared, held_out: Sequences, pause: Callable[[], None]
) -> dict[str, Any]:
    """Compares both on the same tokens of the held-out part."""
    ours, theirs, size = Tally(), Tally(), 0
    numbers = held_out.some(MOST_BLOCKS)
    for number in numbers:
        batch = held_out.batch([number]).to(str(student.model.device))
        wanted = next_logits(teacher.model, batch.ids)
        ours.add(next_logits(student.model, batch.ids), batch.labels, wanted)
        theirs.add(wanted, batch.labels)
        size += len(student.tokenizer.decode(batch.ids[0]).encode())
        pause()
    return {
        "blocks": len(numbers), "tokens": ours.tokens,
        "tuned_teacher": _figures(theirs, size), "student": _figures(ours, size),
        "kept": ours.accuracy / max(1e-9, theirs.accuracy),
        "same_next_token": ours.same / max(1, ours.tokens),
    }  # fmt: skip


def base_report(base: Path, student: Compared, held_out: Sequences) -> dict[str, Any]:
    """Scores the base before any tuning, on the same texts in its own tokens."""
    before, tally, size, tokens = Compared(open_model(base), open_tokenizer(base)), Tally(), 0, 0
    for number in held_out.some(MOST_BLOCKS):
        ids = held_out.batch([number]).ids[0]
        text = student.tokenizer.decode(ids)
        own = before.reader(0).ids(text)
        if len(own) > 1:
            row = torch.tensor([own], device=before.model.device)
            tally.add(next_logits(before.model, row), row)
        size, tokens = size + len(text.encode()), tokens + len(ids)
    more = tokens / max(1, tally.tokens + len(held_out.some(MOST_BLOCKS)))
    return {**_figures(tally, size), "sizes": before.size(), "tokens_of_student_to_ours": more}


def task_report(
    tasks: TaskSet, models: dict[str, Compared], length: int, pause: Callable[[], None]
) -> dict[str, Any]:
    """Scores the models on a task set; `kept` is the student's share of the tuned teacher's."""
    figures = {
        name: score(tasks, each.reader(length), lambda _done, _of: pause(), None).figures
        for name, each in models.items()
    }
    shares = {
        name: figures["student"][name]["value"] / max(1e-9, value["value"])
        for name, value in figures["tuned_teacher"].items()
        if name in ("accuracy", "exact_match", "next_token_accuracy")
    }
    return {"items": len(tasks.items), **figures, "kept": shares}


def _figures(tally: Tally, size: int) -> dict[str, float]:
    return {
        "perplexity": tally.perplexity,
        "next_token_accuracy": tally.accuracy,
        "bits_per_byte": tally.bits_per_byte(size),
    }
