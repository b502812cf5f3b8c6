"""A copy of the working tree, in which one line at a time is wrong."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.environment import PROJECT
from tests.mutants.mutant import Mutant

_PREPARED = Path(".pytest_cache") / "d" / "forebay"  # see tests/prepared.py


class Copy:
    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, folder: Path) -> "Copy":
        """Every file that git knows or would add, and the prepared databases."""
        root = folder / "forebay"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True).stdout
        for name in names.decode().rstrip("\0").split("\0"):
            if (PROJECT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, root / name)
        if (PROJECT / _PREPARED).exists():
            (root / _PREPARED.parent).mkdir(parents=True)
            prepared = [PROJECT / _PREPARED, root / _PREPARED]
            subprocess.run(["cp", "-a", "--reflink=auto", *prepared], check=True)
        return cls(root)

    @property
    def environment(self) -> dict[str, str]:
        """Imports come from here, and not from where the virtual environment points.

        Hypothesis spends no time on simpler examples: that a test fails is enough. No case is
        left out.
        """
        paths = f"{self.root}{os.pathsep}{self.root / 'platform'}"
        more = {"FOREBAY_TEST_FIRST_FAILURE": "1", "FOREBAY_TEST_SOAK": "1"}
        return os.environ | {"PYTHONPATH": paths, **more}

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """Raises Stale."""
        place = self.root / mutant.path
        text = place.read_text()
        self._write(place, mutant.applied(text))
        try:
            yield
        finally:
            self._write(place, text)

    def _write(self, place: Path, text: str) -> None:
        """What was compiled goes: Python compares seconds and sizes, which may be the same."""
        place.write_text(text)
        for compiled in (place.parent / "__pycache__").glob(f"{place.stem}.*.pyc"):
            compiled.unlink()
