"""Weights and gradients shared out among processes by FSDP, and whole again for files."""

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer.training.processes.ranks import Ranks


def shard(model: Any, ranks: Ranks, device: str) -> None:
    """Gives each process its part of every layer."""
    if ranks.count == 1:
        return
    mesh = init_device_mesh(device, (ranks.count,))
    for part in (*decoder(model).layers, model):
        fully_shard(part, mesh=mesh)
        # Each loss is a share of the step's: gradients are summed, which CPUs can do as well.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)


def decoder(model: Any) -> Any:
    """Returns the part with the layers, under an adapter too."""
    return (model.get_base_model() if hasattr(model, "peft_config") else model).model


def whole(tensor: Any) -> Any:
    """Returns a tensor of all processes in this one's memory. All must call it alike."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


def placed_like(tensor: Any, other: Any) -> Any:
    """Returns `tensor` where `other` is, shared out as that is."""
    if isinstance(other, DTensor):
        local = tensor.to(other.device)
        return distribute_tensor(local, other.device_mesh, other.placements)
    return tensor.to(other.device)


def fill(target: Any, tensor: Any) -> None:
    with torch.no_grad():
        target.copy_(placed_like(tensor, target))
