"""A narrower feed-forward part: in each layer the neurons that do most stay."""

from typing import Any

import torch
from torch import nn

from trainer.compression.depth import SAMPLE
from trainer.training.input.sequences import Sequences


def narrow_feed_forward(model: Any, data: Sequences, width: int) -> None:
    """Keeps `width` neurons of each layer, by what they add to the output on some of the data."""
    for layer, strength in zip(model.model.layers, _strengths(model, data), strict=True):
        neurons = strength.topk(width).indices.sort().values
        part = layer.mlp
        part.gate_proj = _rows(part.gate_proj, neurons)
        part.up_proj = _rows(part.up_proj, neurons)
        part.down_proj = _columns(part.down_proj, neurons)
    model.config.intermediate_size = width


def _strengths(model: Any, data: Sequences) -> list[Any]:
    """Returns for each neuron its mean square times the square of the weights that it goes by."""
    layers = model.model.layers
    squares = [torch.zeros(layer.mlp.down_proj.in_features) for layer in layers]
    hooks = [
        layer.mlp.down_proj.register_forward_pre_hook(_adding_to(total))
        for layer, total in zip(layers, squares, strict=True)
    ]
    with torch.no_grad():
        for number in data.some(SAMPLE):
            model.model(input_ids=data.batch([number]).ids.to(model.device), use_cache=False)
    for hook in hooks:
        hook.remove()
    columns = [layer.mlp.down_proj.weight.detach().square().sum(0).cpu() for layer in layers]
    return [square * column for square, column in zip(squares, columns, strict=True)]


def _adding_to(total: Any) -> Any:
    def add(_module: Any, inputs: tuple[Any, ...]) -> None:
        total.add_(inputs[0].float().square().flatten(0, -2).mean(0).cpu())

    return add


def _rows(linear: Any, kept: Any) -> Any:
    return _linear(linear.weight[kept], None if linear.bias is None else linear.bias[kept])


def _columns(linear: Any, kept: Any) -> Any:
    return _linear(linear.weight[:, kept], linear.bias)


def _linear(weight: Any, bias: Any) -> Any:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone())
    return linear
