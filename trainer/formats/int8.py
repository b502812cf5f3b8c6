"""Eight bits a weight with one scale a row, the embedding too, as compressed-tensors of vLLM.

Format `pack-quantized`: four weights in an int32, the lowest byte first, each plus 128.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer.formats.as_folder import write_config
from trainer.formats.gguf_file import Floats
from trainer.formats.model import Model
from trainer.formats.safetensors_file import SINGLE, Written, write_file
from trainer.formats.units import Arrays, Units
from trainer.refusals import unusable

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_WEIGHTS = {
    "num_bits": 8,
    "type": "int",
    "symmetric": True,
    "strategy": "channel",
    "group_size": None,
    "dynamic": False,
    "observer": "minmax",
}


def write_int8(model: Model, folder: Path, embedding: str, units: Units) -> None:
    """Writes the folder. A tied embedding is written `once`, `twice` or as `f16`."""
    tied = bool(model.config.get("tie_word_embeddings"))
    sources = {name: name for name in model.shapes}
    if tied and embedding == "twice":
        sources[HEAD] = EMBEDDING
    packed = {name for name in sources if _is_packed(model, sources[name], embedding)}
    plan = [each for name in sources for each in _plan(model, name, sources[name], name in packed)]

    def made(name: str) -> Arrays:
        weights = model.floats(sources[name])
        return quantised(weights) if name in packed else [weights.astype(np.float16)]

    makes = [partial(made, name) for name in sources]
    write_file(folder / SINGLE, plan, units.arrays(makes))
    model.save_tokenizer(folder)
    config = model.config | {"dtype": "float16", "torch_dtype": "float16"}
    config["tie_word_embeddings"] = tied and embedding != "twice"
    config["quantization_config"] = _quantisation(packed)
    write_config(folder, config)


def _is_packed(model: Model, source: str, embedding: str) -> bool:
    shape = model.shapes[source]
    if len(shape) == 1 or (embedding == "f16" and source in (EMBEDDING, HEAD)):
        return False
    if shape[1] % 4:
        raise unusable("odd_rows", f"Rows of {source} cannot be packed by four")
    return True


def _plan(model: Model, name: str, source: str, packed: bool) -> Iterator[Written]:
    shape = model.shapes[source]
    if not packed:
        yield Written(name, "F16", shape)
        return
    stem = name.removesuffix(".weight")
    yield Written(f"{stem}.weight_packed", "I32", (shape[0], shape[1] // 4))
    yield Written(f"{stem}.weight_scale", "F32", (shape[0], 1))
    yield Written(f"{stem}.weight_shape", "I64", (2,))


def quantised(weights: Floats) -> Arrays:
    """Returns the packed weights, the scale of each row, and the shape."""
    scale = np.abs(weights).max(axis=1, keepdims=True) / 127
    scale[scale == 0] = 1  # a row of zeros
    numbers = np.clip(np.rint(weights / scale), -127, 127).astype(np.int16) + 128
    packed = np.ascontiguousarray(numbers.astype(np.uint8)).view("<i4")
    return [packed, scale.astype(np.float32), np.array(weights.shape, np.int64)]


def _quantisation(packed: set[str]) -> dict[str, Any]:
    targets = ["Linear"]
    targets += ["Embedding"] if EMBEDDING in packed else []
    targets += ["re:.*lm_head"] if HEAD in packed else []
    group = {"targets": targets, "weights": _WEIGHTS, "input_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "kv_cache_scheme": None,
        "ignore": [] if HEAD in packed else ["lm_head"],
        "config_groups": {"group_0": group | {"output_activations": None}},
    }
