"""A LoRA adapter of peft as a GGUF that llama.cpp puts on the model it was trained on."""

import re
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

from gguf import GGUFValueType
from numpy.typing import NDArray

from trainer.formats import settings
from trainer.formats.architectures import Architecture, of_config, of_gguf
from trainer.formats.gguf_file import F32, Floats, Written, write_gguf
from trainer.formats.gguf_header import Field
from trainer.formats.model import only_header
from trainer.formats.safetensors_file import Tensor, read_folder
from trainer.formats.small_files import object_of
from trainer.refusals import unusable

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
_NAME = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<side>[AB])\.weight")
_STRING, _FLOAT = GGUFValueType.STRING, GGUFValueType.FLOAT32


def write_adapter(adapter: Path, base: Path, target: Path) -> None:
    """Writes the GGUF. `base` is the model's folder or GGUF: only its settings are read."""
    architecture, config = base_settings(base)
    options = _options(adapter)
    tensors = read_folder(adapter, WEIGHTS)
    name_of = architecture.gguf_names(config["num_hidden_layers"])
    modules = {name: _module(name) for name in tensors}
    plan = [
        Written(f"{name_of(module + '.weight')}.lora_{side}", tensors[name].shape, F32)
        for name, (module, side) in modules.items()
    ]

    def values() -> Iterator[NDArray[Any]]:
        for name, (module, side) in modules.items():
            yield _rows(architecture, config, tensors[name], module, side)

    fields = {
        "general.type": Field("adapter", _STRING),
        "adapter.type": Field("lora", _STRING),
        "adapter.lora.alpha": Field(_alpha(options), _FLOAT),
    }
    write_gguf(target, architecture.name, fields, plan, values())


def base_settings(base: Path) -> tuple[Architecture, dict[str, Any]]:
    """Returns the architecture and the checked settings of a base."""
    if (header := only_header(base)) is not None:
        architecture = of_gguf(header.architecture)
        return architecture, settings.config_of(header, architecture)
    config = object_of(base / "config.json")
    return of_config(config), settings.checked(config)


def _options(adapter: Path) -> dict[str, Any]:
    """Returns adapter_config.json where llama.cpp can do what it says."""
    options = object_of(adapter / SETTINGS)
    if options.get("peft_type") != "LORA":
        raise unusable("unknown_adapter", "The adapter is no LoRA of peft")
    for name in ("use_dora", "modules_to_save", "alpha_pattern", "rank_pattern", "fan_in_fan_out"):
        if options.get(name):
            raise unusable("unknown_adapter", f"An adapter with {name} cannot be converted")
    if options.get("bias", "none") != "none":
        raise unusable("unknown_adapter", "An adapter with biases cannot be converted")
    return options


def _alpha(options: dict[str, Any]) -> float:
    """Returns llama.cpp's alpha, which it divides by the rank."""
    alpha, rank = options.get("lora_alpha"), options.get("r")
    if not isinstance(alpha, int | float) or not isinstance(rank, int) or rank < 1:
        raise unusable("unknown_adapter", "The adapter's settings lack r or lora_alpha")
    return float(alpha) * (sqrt(rank) if options.get("use_rslora") else 1)


def _module(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise unusable("unknown_adapter", f"The adapter has a weight {name[:80]} that is no LoRA's")
    return match["module"], match["side"].lower()


def _rows(
    architecture: Architecture, config: dict[str, Any], tensor: Tensor, module: str, side: str
) -> Floats:
    """Returns one side of a LoRA; rows of B are those of the matrix it is added to."""
    values = tensor.floats()
    return architecture.to_gguf(module, values, config) if side == "b" else values
