"""The architectures that are converted: names of weights and of settings on both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from gguf import MODEL_ARCH

from trainer.formats.gguf_file import Floats
from trainer.refusals import unusable


@dataclass(frozen=True, slots=True)
class Architecture:
    """`permuted`: llama.cpp has the rows of q and k in another order than Hugging Face."""

    name: str  # of llama.cpp
    model_type: str  # of Hugging Face
    class_name: str
    code: MODEL_ARCH
    permuted: bool

    def gguf_names(self, layers: int) -> Callable[[str], str]:
        """Returns the function from Hugging Face's name of a weight to llama.cpp's."""
        table = gguf.get_tensor_name_map(self.code, layers)

        def name_of(name: str) -> str:
            gguf_name = table.get_name(name, try_suffixes=(".weight", ".bias"))
            if gguf_name is None:
                raise unusable("unknown_weight", f"{self.class_name} has no weight {name[:80]}")
            return str(gguf_name)

        return name_of

    def hf_names(self, config: dict[str, Any]) -> dict[str, str]:
        """Returns Hugging Face's name of each weight that llama.cpp may have, by llama.cpp's."""
        name_of = self.gguf_names(config["num_hidden_layers"])
        names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
        for layer in range(config["num_hidden_layers"]):
            names += [f"model.layers.{layer}.{part}" for part in _LAYER]
        return {name_of(name): name for name in names}

    def to_gguf(self, name: str, weights: Floats, config: dict[str, Any]) -> Floats:
        """Returns a weight as llama.cpp has it; `name` is Hugging Face's."""
        return _permuted(weights, heads) if (heads := self._heads(name, config)) else weights

    def to_hf(self, name: str, weights: Floats, config: dict[str, Any]) -> Floats:
        return _unpermuted(weights, heads) if (heads := self._heads(name, config)) else weights

    def _heads(self, name: str, config: dict[str, Any]) -> int:
        """Returns the heads by which rows are permuted; 0: they are not."""
        if not self.permuted:
            return 0
        key = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
        return int(next((config[value] for word, value in key.items() if word in name), 0))


_MATRICES = (
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)
_LAYER = (
    *(f"{matrix}.weight" for matrix in _MATRICES),
    *(f"{matrix}.bias" for matrix in _MATRICES),
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
)
LLAMA = Architecture("llama", "llama", "LlamaForCausalLM", MODEL_ARCH.LLAMA, permuted=True)
MISTRAL = Architecture("llama", "mistral", "MistralForCausalLM", MODEL_ARCH.LLAMA, permuted=True)
QWEN2 = Architecture("qwen2", "qwen2", "Qwen2ForCausalLM", MODEL_ARCH.QWEN2, permuted=False)
ALL = (LLAMA, MISTRAL, QWEN2)


def of_gguf(name: str) -> Architecture:
    for each in ALL:
        if each.name == name:
            return each
    raise _unknown(name)


def of_config(config: dict[str, Any]) -> Architecture:
    names = config.get("architectures") or [""]
    for each in ALL:
        if each.class_name in names:
            return each
    raise _unknown(str(names[0] or config.get("model_type", "")))


def _unknown(name: str) -> Exception:
    known = ", ".join(each.class_name for each in ALL)
    return unusable(
        "unknown_architecture", f"The architecture {name[:60]!r} cannot be converted: only {known}"
    )


def _permuted(weights: Floats, heads: int) -> Floats:
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weights.shape))


def _unpermuted(weights: Floats, heads: int) -> Floats:
    pairs = weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(weights.shape))
