"""Everything beside the weights that a run needs to go on exactly: optimiser, gradients, RNG."""

from pathlib import Path
from typing import Any

import torch

from trainer.base.tensors import read_tensors, write_tensors
from trainer.training.checkpoints.folders import STATE
from trainer.training.checkpoints.weights import trained
from trainer.training.processes.sharding import placed_like, whole


def state_tensors(model: Any, optimiser: Any) -> dict[str, Any]:
    """Returns it whole, by names. All processes must call it alike."""
    tensors = {"rng": torch.get_rng_state()}
    for name, weight in trained(model).items():
        for key, value in optimiser.state.get(weight, {}).items():
            tensors[f"optimiser.{key}.{name}"] = whole(value)
        if weight.grad is not None:
            tensors[f"gradient.{name}"] = whole(weight.grad)
    return tensors


def write_state(folder: Path, tensors: dict[str, Any]) -> None:
    write_tensors(folder / STATE, tensors)


def read_state(folder: Path, model: Any, optimiser: Any) -> None:
    tensors = read_tensors(folder / STATE)
    torch.set_rng_state(tensors["rng"])
    for name, weight in trained(model).items():
        if (gradient := tensors.get(f"gradient.{name}")) is not None:
            weight.grad = placed_like(gradient, weight)
        optimiser.state[weight] = {
            key: _placed(key, tensors[f"optimiser.{key}.{name}"], weight)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"optimiser.{key}.{name}" in tensors
        }
        if not optimiser.state[weight]:
            del optimiser.state[weight]


def _placed(key: str, tensor: Any, weight: Any) -> Any:
    """AdamW keeps its count of steps on the CPU."""
    return tensor if key == "step" else placed_like(tensor, weight)
