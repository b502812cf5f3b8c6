"""Parts that are a process of their own: they have settings and servers of their own."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.children import REPOSITORY

T = TypeVar("T")


def measured_apart(module: str, kind: type[T], **options: float) -> T:
    """What `python -m MODULE` found. Raises CalledProcessError."""
    with tempfile.NamedTemporaryFile(suffix=".json") as found:
        command = [sys.executable, "-m", module, "--json", found.name]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        return msgspec.json.decode(Path(found.name).read_bytes(), type=kind)
