"""Folders step-000001, step-000002, …: each is there whole or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Returns each step and its folder, in their order."""
    names = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted((int(path.name.removeprefix("step-")), path) for path in names)


def write_checkpoint(
    folder: Path, step: int, places: Mapping[Path, int], index: bytes, state: dict[str, Any]
) -> Path:
    """Writes a checkpoint with what each file has from its place on."""
    target = folder / f"step-{step:06d}"
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for path, place in places.items():
        with path.open("rb") as source, (part / path.name).open("wb") as copy:
            source.seek(place)
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    _write(part / "index", index)
    _write(part / "state.json", json.dumps(state).encode())
    part.rename(target)
    _sync_folder(folder)
    return target


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
