"""Whether sums in bfloat16 are faster: without instructions for it they are slower."""

import time
from typing import Any

import torch

from trainer.training.input.sequences import Batch
from trainer.training.objective import summed_cross_entropy

TRIES = 2  # of each; the first of them also pays for what is made only once


def bf16_is_faster(model: Any, batch: Batch, device: str) -> bool:
    """Times a step of each, and leaves the model as it was."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    plain, short = (_fastest(model, batch, device, bf16=bf16) for bf16 in (False, True))
    model.zero_grad(set_to_none=True)
    return short < plain


def _fastest(model: Any, batch: Batch, device: str, *, bf16: bool) -> float:
    return min(_time(model, batch, device, bf16=bf16) for _try in range(TRIES))


def _time(model: Any, batch: Batch, device: str, *, bf16: bool) -> float:
    began = time.process_time()
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        loss = summed_cross_entropy(model, batch)
    loss.backward()
    return time.process_time() - began


def wants_bf16(precision: str, model: Any, batch: Batch, device: str) -> bool:
    if precision != "auto":
        return precision == "bf16"
    return bf16_is_faster(model, batch, device)
