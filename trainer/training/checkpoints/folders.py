"""Checkpoints: folders that are whole or not there, and how many of them stay."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from trainer.training.checkpoints import position

_NAME = re.compile(r"step-(\d{6,})(?:-(?:(e)|m(\d{4,})))?")
STATE = "state.safetensors"


def newest(folder: Path) -> Path | None:
    """Returns the last one that a run can go on from."""
    whole = [each for each in _all(folder) if (each / position.FILE).exists()]
    return whole[-1] if whole else None


def write(folder: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Writes one under another name, and renames it once all of it is on the disk."""
    target, part = folder / name, folder / f"{name}.part"
    if target.exists():
        return target
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        fill(part)
        _sync(part)
        part.rename(target)
        _sync_one(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)  # gives the disk its room back
        raise
    return target


def thin_out(folder: Path, *, most: int, best: str | None) -> None:
    """Leaves the last two whole, of earlier ones the weights, and `most` in all with the best."""
    ordered = _all(folder)
    for older in ordered[:-2]:
        if older.name.count("-") > 1:  # of a pause within a step
            shutil.rmtree(older)
            continue
        (older / position.FILE).unlink(missing_ok=True)
        (older / STATE).unlink(missing_ok=True)
    steps = [each for each in ordered[:-2] if each.exists() and each.name != best]
    for older in steps[: max(0, len(steps) - max(0, most - 2))]:
        shutil.rmtree(older)


def drop_unfinished(folder: Path) -> None:
    for part in folder.glob("step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    """Returns them in the order in which they were made."""
    names = [match for each in folder.glob("step-*") if (match := _NAME.fullmatch(each.name))]
    names.sort(key=lambda match: (int(match[1]), -1 if match[2] else int(match[3] or 0)))
    return [folder / match[0] for match in names]


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
