"""Folders and files of this host in FOREBAY_MODELS, from which operators import."""

from pathlib import Path

from django.conf import settings

from inference.model_registry.headers.header import BadFile


def folder_of(path: str) -> Path:
    """Returns a folder, archive or file inside of FOREBAY_MODELS. Raises BadFile."""
    for folder in settings.MODEL_FOLDERS:
        try:
            top, inside = folder.resolve(), (folder / path).resolve(strict=True)
        except (OSError, ValueError):  # not there, a loop of links, a NUL
            continue
        if inside != top and inside.is_relative_to(top):
            return inside
    raise BadFile(f"no folder of FOREBAY_MODELS has {path[:80]!r}")
