"""Makes a model that vLLM can serve out of the bundled GGUF, and a LoRA adapter for it.

Runs in .venv-vllm: python model.py FILE.gguf FOLDER. Nothing is downloaded.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

RANK = 8


def main(gguf: Path, folder: Path) -> None:
    base = folder / "base"
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.save_pretrained(base)
    model = unquantised(gguf)
    model.save_pretrained(base)
    save_adapter(model.config, folder / "adapter")


def unquantised(gguf: Path) -> torch.nn.Module:
    """What was read from a GGUF counts as quantised, and cannot be saved."""
    read = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)
    config = AutoConfig.for_model(**settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict(), strict=False)
    model.tie_weights()
    model.generation_config = read.generation_config
    return model


def save_adapter(config: AutoConfig, folder: Path) -> None:
    """Random weights in the last layers: what it says is not what the base model says."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    width = config.hidden_size
    weights = {}
    for layer in range(config.num_hidden_layers - 4, config.num_hidden_layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(RANK, width) / 4
        weights[f"{name}.lora_B.weight"] = torch.randn(width, RANK) / 4
    save_file(weights, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"]}
    settings |= {"task_type": "CAUSAL_LM", "bias": "none", "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
