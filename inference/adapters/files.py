"""The files of adapters in FOREBAY_ADAPTERS, from where engines load them.

A llama.cpp loads `VERSION.gguf`, a vLLM the folder `VERSION` as peft wrote it. The folder lies on
this host, or on a volume that the hosts of the engines share. Its files are copies: the registry
has the originals.
"""

import os
import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings

from inference.model_registry.opening import local_copy
from inference.models import ModelVersion

CONFIG = "adapter_config.json"
GGUF, PEFT = "gguf", "peft"


def place(version: ModelVersion) -> str:
    """Put a version's files there, if they are missing. Returns their formats.

    Raises what `local_copy` raises.
    """
    paths = _paths(version)
    if not all(path.exists() for path in paths.values()):
        _place(local_copy(version), paths)
    return " ".join(paths)


def _paths(version: ModelVersion) -> dict[str, Path]:
    """Returns the place of each format that the version has."""
    names = list(version.files.values_list("name", flat=True))
    has_gguf = any(name.endswith(".gguf") for name in names)
    has_peft = any(Path(name).name == CONFIG for name in names)
    formats = (GGUF, has_gguf, _gguf(version.pk)), (PEFT, has_peft, _peft(version.pk))
    return {form: path for form, has, path in formats if has}


def remove(version: UUID) -> None:
    _gguf(version).unlink(missing_ok=True)
    shutil.rmtree(_peft(version), ignore_errors=True)


def _gguf(version: UUID) -> Path:
    return Path(settings.ADAPTERS_FOLDER) / f"{version}.gguf"


def _peft(version: UUID) -> Path:
    return Path(settings.ADAPTERS_FOLDER) / str(version)


def _place(source: Path, paths: dict[str, Path]) -> None:
    """Put there what is missing: a process may have been killed between two formats."""
    Path(settings.ADAPTERS_FOLDER).mkdir(parents=True, exist_ok=True)
    missing = {form: path for form, path in paths.items() if not path.exists()}
    if target := missing.get(GGUF):
        draft = target.with_name(f"{target.name}.part")
        _copy(next(source.rglob("*.gguf")), draft)
        draft.rename(target)
    if target := missing.get(PEFT):
        _place_folder(next(source.rglob(CONFIG)).parent, target)


def _place_folder(source: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".gguf":
            _copy(file, draft / file.name)
    draft.rename(target)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
