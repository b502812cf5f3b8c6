"""The loss of a batch: the cross-entropy of the tokens that count."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from trainer.training.input.sequences import IGNORED, Batch, Sequences
from trainer.training.processes.ranks import Ranks

MOST_HELD_OUT = 64  # sequences that an evaluation takes, from all over
Loss = Callable[[Any, Batch], Any]  # summed over the tokens that count


def summed_cross_entropy(model: Any, batch: Batch) -> Any:
    """Asks for logits only where some sequence counts: of a chat they are the larger part."""
    counted = (batch.labels[:, 1:] != IGNORED).any(0).nonzero().flatten()
    logits = model(input_ids=batch.ids, use_cache=False, logits_to_keep=counted).logits
    return cross_entropy(
        logits.float().flatten(0, 1), batch.labels[:, counted + 1].flatten(),
        ignore_index=IGNORED, reduction="sum",
    )  # fmt: skip


def mean_loss(
    model: Any, data: Sequences, size: int, ranks: Ranks, *, bf16: bool, device: str,
    between: Callable[[], None],
) -> float:  # fmt: skip
    """Returns the cross-entropy a token on what is held out; `between` batches it may be ended."""
    model.eval()
    numbers, total = data.some(MOST_HELD_OUT), 0.0
    for first in range(0, len(numbers), size * ranks.count):
        part = numbers[first + size * ranks.number :][:size]
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = summed_cross_entropy(model, data.batch(part or numbers[:1]).to(device))
        total += loss.item() if part else 0.0
        between()
    return ranks.sum(total) / max(1, data.targets(numbers))
