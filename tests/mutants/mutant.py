"""A single wrong line, as mutants.toml names it."""

import tomllib
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

LIST = Path(__file__).with_name("mutants.toml")


class Stale(Exception):
    """The original text does not stand exactly once in its file: the list must be mended."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` becomes `new` in the file at `path`; one of `tests` must fail then."""

    kind: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"

    @property
    def id(self) -> str:
        """Another one for another change, whatever its tests are."""
        return sha256("\0".join((self.path, self.old, self.new)).encode()).hexdigest()[:12]

    def applied(self, text: str) -> str:
        """Raises Stale."""
        if (times := text.count(self.old)) != 1:
            raise Stale(f"{self}: the original text stands {times} times in the file")
        return text.replace(self.old, self.new)


def listed(path: Path = LIST) -> list[Mutant]:
    rows = tomllib.loads(path.read_text())["mutant"]
    names = {field.name for field in fields(Mutant)}
    for row in rows:
        if set(row) != names:
            raise ValueError(f"a mutant has {sorted(names)}, not {sorted(row)}")
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]
