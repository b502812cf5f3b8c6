"""What a model says of the next token, on texts that it is shown."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

LOG_2 = math.log(2)


@dataclass(slots=True)
class Tally:
    """Sums over tokens; `same` counts those where another model named the same next token."""

    loss: float = 0.0
    right: int = 0
    same: int = 0
    tokens: int = 0

    def add(self, logits: Any, labels: Any, others: Any = None) -> None:
        """Adds logits of shape (sequences, tokens, words); labels below 0 do not count."""
        logits, labels = logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten()
        counted = labels >= 0
        best = logits.argmax(-1)[counted]
        self.loss += cross_entropy(logits[counted], labels[counted], reduction="sum").item()
        self.right += int((best == labels[counted]).sum())
        self.tokens += int(counted.sum())
        if others is not None:
            others = others[:, :-1].flatten(0, 1).argmax(-1)[counted]
            self.same += int((best == others).sum())

    @property
    def perplexity(self) -> float:
        return math.exp(min(700.0, self.loss / max(1, self.tokens)))

    @property
    def accuracy(self) -> float:
        return self.right / max(1, self.tokens)

    def bits_per_byte(self, size: int) -> float:
        """Compares models that cut a text into different tokens."""
        return self.loss / LOG_2 / max(1, size)


def next_logits(model: Any, ids: Any, *, bf16: bool = False) -> Any:
    with torch.no_grad(), torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        return model(input_ids=ids, use_cache=False).logits
