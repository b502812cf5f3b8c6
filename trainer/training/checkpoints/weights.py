"""The weights that are trained: an adapter's or all of them, as files that serve."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainer.base.folder import copy_tokenizer
from trainer.base.tensors import read_tensors, write_tensors
from trainer.training.processes.sharding import fill, whole

_MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Weights(Protocol):
    """`folder` is the name under which they lie in a checkpoint."""

    @property
    def folder(self) -> str: ...

    @property
    def base(self) -> Path: ...

    def tensors(self) -> dict[str, Any]:
        """Returns them whole, by their names in files. All processes must call it alike."""

    def write(self, folder: Path, tensors: dict[str, Any]) -> None: ...

    def read(self, folder: Path) -> None: ...


def trained(model: Any) -> dict[str, Any]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter in peft's format."""

    model: Any
    base: Path
    folder: str = "adapter"

    def tensors(self) -> dict[str, Any]:
        return {_file_name(name): whole(value) for name, value in trained(self.model).items()}

    def write(self, folder: Path, tensors: dict[str, Any]) -> None:
        write_tensors(folder / "adapter_model.safetensors", tensors)
        fields = self.model.peft_config["default"].to_dict()
        fields |= {"inference_mode": True, "base_model_name_or_path": self.base.name}
        (folder / "adapter_config.json").write_text(json.dumps(fields, default=_plain, indent=1))

    def read(self, folder: Path) -> None:
        tensors = read_tensors(folder / "adapter_model.safetensors")
        for name, value in trained(self.model).items():
            fill(value, tensors[_file_name(name)])


@dataclass(frozen=True, slots=True)
class FullModel:
    """The whole model, in Hugging Face's format."""

    model: Any
    base: Path  # has the tokenizer
    folder: str = "model"

    def tensors(self) -> dict[str, Any]:
        return {name: whole(value) for name, value in self.model.named_parameters()}

    def write(self, folder: Path, tensors: dict[str, Any]) -> None:
        write_tensors(folder / "model.safetensors", tensors)
        self.model.config.save_pretrained(folder)
        copy_tokenizer(self.base, folder)

    def read(self, folder: Path) -> None:
        tensors = read_tensors(folder / "model.safetensors")
        for name, value in self.model.named_parameters():
            fill(value, tensors[name])


def with_adapter(model: Any, rank: int, alpha: float | None, seed: int) -> Any:
    """Adds LoRA to all seven matrices of each layer, with first values that `seed` decides."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, lora_dropout=0.0, task_type="CAUSAL_LM",
        target_modules=_MATRICES,
    )  # fmt: skip
    return get_peft_model(model, config)


def _file_name(name: str) -> str:
    """Returns peft's name in files: without that of the adapter."""
    return name.replace(".default.", ".")


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set) else str(value)
