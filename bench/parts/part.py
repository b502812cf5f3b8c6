"""A part of a run: it has settings and servers of its own, and so a process of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from bench.figures.aims import Aim
from bench.servers.child import REPOSITORY

T = TypeVar("T")
Size = dict[str, float]


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """`full` and `quick` have the arguments of `measure`: how much it measures."""

    title: str
    report: type[T]
    measure: Callable[..., T]
    section: Callable[[T], str]
    full: Size
    quick: Size
    aims: Callable[[T], Iterable[Aim]] = lambda _: ()

    def size(self, *, quick: bool, **wanted: float | None) -> Size:
        """Its own size, changed by those arguments in `wanted` that it has."""
        size = self.quick if quick else self.full
        return {name: wanted.get(name) or number for name, number in size.items()}

    def measure_apart(self, name: str, size: Size) -> T:
        """Measure in a process of its own. Raises CalledProcessError."""
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, "-m", "bench.parts", name, "--json", file.name]
            for option, number in size.items():
                command += [f"--{option}", str(number)]
            subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
            return msgspec.json.decode(Path(file.name).read_bytes(), type=self.report)


def timed(rounds: int, seconds: float) -> Size:
    """The size of a part that measures rounds of slices."""
    return {"rounds": rounds, "seconds": seconds}
