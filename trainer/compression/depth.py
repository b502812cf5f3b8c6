"""Which layers do least, and a model without them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cosine_similarity

from trainer.training.input.sequences import Sequences

SAMPLE = 8  # sequences that layers are judged on


def block_influence(model: Any, data: Sequences) -> list[float]:
    """Returns for each layer how far its output turns away from its input (ShortGPT, 2024)."""
    totals = [0.0] * model.config.num_hidden_layers
    model.eval()
    for number in data.some(SAMPLE):
        ids = data.batch([number]).ids.to(model.device)
        with torch.no_grad():
            states = model.model(input_ids=ids, output_hidden_states=True, use_cache=False)
        pairs = zip(states.hidden_states[:-1], states.hidden_states[1:], strict=True)
        for layer, (before, after) in enumerate(pairs):
            turned = 1 - cosine_similarity(before.float(), after.float(), dim=-1)
            totals[layer] += turned.mean().item()
    return totals


def layers_to_keep(influence: Sequence[float], count: int) -> list[int]:
    """Returns the numbers of the layers that do most, in their order."""
    by_influence = sorted(range(len(influence)), key=influence.__getitem__, reverse=True)
    return sorted(by_influence[:count])


def keep_layers(model: Any, kept: Sequence[int]) -> None:
    """Takes the other layers out of the model."""
    layers = [model.model.layers[number] for number in kept]
    model.model.layers = torch.nn.ModuleList(layers)
    for number, layer in enumerate(layers):
        layer.self_attn.layer_idx = number
    config = model.config
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[number] for number in kept]
