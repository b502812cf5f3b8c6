"""Writes a folder of Hugging Face: config.json, model.safetensors and the tokenizer's files."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer.formats.model import Model
from trainer.formats.safetensors_file import SINGLE, Written, write_file
from trainer.formats.units import Arrays, Units
from trainer.formats.whole_files import write_text

DTYPES = {"f32": ("F32", np.float32, "float32"), "f16": ("F16", np.float16, "float16")}


def write_folder(model: Model, folder: Path, dtype: str, units: Units) -> None:
    code, numpy_type, name_of_type = DTYPES[dtype]
    plan = [Written(name, code, shape) for name, shape in model.shapes.items()]

    def made(name: str) -> Arrays:
        return [model.floats(name).astype(numpy_type)]

    makes = [partial(made, name) for name in model.shapes]
    write_file(folder / SINGLE, plan, units.arrays(makes))
    model.save_tokenizer(folder)
    write_config(folder, model.config | {"dtype": name_of_type, "torch_dtype": name_of_type})


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Writes config.json, last of all: a folder with one is whole."""
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
