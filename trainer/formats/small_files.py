"""JSON files of a model's folder: bounded, and no links out of it."""

import json
from pathlib import Path
from typing import Any

from trainer.refusals import unusable

LARGEST = 64 << 20  # a tokenizer of 256,000 words has 33 MB


def object_of(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file."""
    if not path.is_file():
        raise unusable("missing_file", f"{path.name} is not there")
    if path.stat().st_size > LARGEST:
        raise unusable("too_large", f"{path.name} is larger than 64 MiB")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise unusable("bad_json", f"{path.name} is no JSON") from error
    if not isinstance(value, dict):
        raise unusable("bad_json", f"{path.name} is no JSON object")
    return value


def optional_object_of(path: Path) -> dict[str, Any]:
    return object_of(path) if path.is_file() else {}
