"""The loss of a student: how far its words and its hidden states are from the teacher's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

from trainer.training.input.sequences import Batch


@dataclass(frozen=True, slots=True)
class Teaching:
    """`kept` are the teacher's layers that the student has."""

    teacher: Any
    kept: Sequence[int]
    kl: float
    hidden: float
    cross_entropy: float

    def loss(self, student: Any, batch: Batch) -> Any:
        """Returns the sum over the tokens that count."""
        with torch.no_grad():
            teacher = self._states(self.teacher, batch)
        pupil, counted = self._states(student, batch), batch.labels[:, 1:] >= 0
        words, wanted = (self._words(states, counted) for states in (pupil, teacher))
        total = self.kl * kl_div(words, wanted, log_target=True, reduction="sum")
        if self.cross_entropy:
            truth = batch.labels[:, 1:][counted]
            total = total + self.cross_entropy * cross_entropy(words, truth, reduction="sum")
        if self.hidden:
            total = total + self.hidden * self._distance(pupil, teacher) * counted.sum()
        return total

    def _states(self, model: Any, batch: Batch) -> Any:
        return model(input_ids=batch.ids, output_hidden_states=self.hidden > 0, use_cache=False)

    def _words(self, states: Any, counted: Any) -> Any:
        return states.logits[:, :-1][counted].float().log_softmax(-1)

    def _distance(self, pupil: Any, teacher: Any) -> Any:
        """Returns the mean relative error: a layer also does the work of those cut after it."""
        pairs = [
            (pupil.hidden_states[own + 1].float(), teacher.hidden_states[aim].float())
            for own, aim in enumerate(self.kept[1:])
        ]
        errors = [
            ((own - aim).square().sum(-1) / aim.square().sum(-1)).mean() for own, aim in pairs
        ]
        return torch.stack(errors).mean() if errors else torch.zeros(())
