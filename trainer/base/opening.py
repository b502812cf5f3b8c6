"""Models and tokenizers of Hugging Face folders, opened without running any code in them."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, CompressedTensorsConfig

from trainer.refusals import unusable


def open_tokenizer(base: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise unusable("tokenizer", "The base's tokenizer cannot be read") from error


def open_model(base: Path, dtype: Any = None, *, eight_bits: bool = False) -> Any:
    """Opens the weights in 32 bits. `eight_bits`: also those that quantise has made int8."""
    more = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if eight_bits else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype or torch.float32, local_files_only=True, use_safetensors=True,
            trust_remote_code=False, attn_implementation="sdpa", **more,
        )  # fmt: skip
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise unusable(
            "architecture", "The base's architecture or weights are not taken"
        ) from error
    if not hasattr(getattr(model, "model", None), "layers"):
        raise unusable("architecture", "The base is no decoder with layers, such as Llama's")
    return model
