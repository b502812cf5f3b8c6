"""The base of an order: a Hugging Face folder, opened without running any code that lies in it."""

import json
import shutil
from pathlib import Path
from typing import Any

from trainer.formats import model as formats
from trainer.formats.as_folder import write_folder
from trainer.formats.model import gguf_file
from trainer.formats.safetensors_file import INDEX, files_of_index
from trainer.formats.units import Units
from trainer.job import Job
from trainer.refusals import unusable

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model", "generation_config.json",
    "LICENSE", "LICENSE.txt", "LICENSE.md",
)  # fmt: skip


def base_folder(job: Job) -> Path:
    """Returns the folder of the base, after a look at what it must have.

    A GGUF becomes such a folder in the output: checkpoints are to stay small.
    """
    base = job.order.base
    assert base is not None  # the table of kinds says so
    if (file := gguf_file(base)) is not None:
        return _converted(job, file)
    if not (base / "config.json").is_file() or not list(base.glob("*.safetensors")):
        raise unusable("base_format", "The base has no config.json or no safetensors file")
    read_config(base)
    if (base / INDEX).is_file():
        files_of_index(base)  # transformers opens whatever paths it names
    if not any((base / name).is_file() for name in TOKENIZER_FILES if name.startswith("LICENSE")):
        job.events.warning("no_licence", "The base has no file with its licence")
    return base


def _converted(job: Job, file: Path) -> Path:
    folder = job.order.output / "base"
    if not (folder / "config.json").is_file():  # is written last
        folder.mkdir(exist_ok=True)
        write_folder(formats.open_model(file), folder, "f32", Units(job, saves=False))
    return folder


def read_config(base: Path) -> dict[str, Any]:
    try:
        config = json.loads((base / "config.json").read_bytes())
    except ValueError as error:
        raise unusable("base_format", "The base's config.json is no JSON") from error
    if not isinstance(config, dict):
        raise unusable("base_format", "The base's config.json is no JSON object")
    return config


def is_int8(base: Path) -> bool:
    """Returns whether its weights are those of trainer/formats/int8.py."""
    quantisation = read_config(base).get("quantization_config") or {}
    return bool(quantisation.get("quant_method") == "compressed-tensors")


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Copies the tokenizer, the chat template and the licence as they are."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
