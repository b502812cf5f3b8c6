"""The base of an order: a Hugging Face folder, opened without running any code that lies in it."""

import json
import shutil
from pathlib import Path
from typing import Any

from trainer.job import Job
from trainer.refusals import bad_order, unusable

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model", "generation_config.json",
    "LICENSE", "LICENSE.txt", "LICENSE.md",
)  # fmt: skip


def base_folder(job: Job) -> Path:
    """Returns the folder of the base, after a look at what it must have."""
    base = job.order.base
    if base is None or not base.is_dir():
        raise bad_order("base", "The base must be a folder with config.json and safetensors files")
    if not (base / "config.json").is_file() or not list(base.glob("*.safetensors")):
        raise unusable("base_format", "The base has no config.json or no safetensors file")
    if not any((base / name).is_file() for name in TOKENIZER_FILES if name.startswith("LICENSE")):
        job.events.warning("no_licence", "The base has no file with its licence")
    return base


def read_config(base: Path) -> dict[str, Any]:
    try:
        config = json.loads((base / "config.json").read_bytes())
    except ValueError as error:
        raise unusable("base_format", "The base's config.json is no JSON") from error
    if not isinstance(config, dict):
        raise unusable("base_format", "The base's config.json is no JSON object")
    return config


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Copies the tokenizer, the chat template and the licence as they are."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
