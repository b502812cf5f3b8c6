"""What came of each mutant, a line as soon as it is known: a run that was cut off goes on."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutants.mutant import Mutant

ENOUGH = 0.95


class Verdict(StrEnum):
    NOTICED = "noticed"
    SURVIVED = "survived"
    STALE = "stale"  # the list no longer fits the code
    BROKEN = "broken"  # its tests could not be run


@dataclass(frozen=True, slots=True)
class Result:
    id: str
    verdict: Verdict
    told: str  # which test noticed it, or what went wrong
    seconds: float


class Results:
    def __init__(self, path: Path, *, anew: bool = False) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            path.unlink(missing_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        rows = map(json.loads, lines)
        self._known = {
            row["id"]: Result(**{**row, "verdict": Verdict(row["verdict"])}) for row in rows
        }

    def is_done(self, mutant: Mutant) -> bool:
        """Whether it was noticed. One that survived is tried again: there may be a test by now."""
        known = self._known.get(mutant.id)
        return known is not None and known.verdict is Verdict.NOTICED

    def add(self, result: Result) -> None:
        self._known[result.id] = result
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def summary(self, mutants: Iterable[Mutant]) -> tuple[str, bool]:
        """In words, and whether it is good: all have run, and enough were noticed."""
        wanted = list(mutants)
        results = {mutant: self._known.get(mutant.id) for mutant in wanted}
        counts = Counter(result.verdict for result in results.values() if result)
        ran = counts[Verdict.NOTICED] + counts[Verdict.SURVIVED]
        share = counts[Verdict.NOTICED] / ran if ran else 0
        lines = [
            f"{mutant.path}: {result.verdict}: {mutant.why}"
            for mutant, result in results.items()
            if result and result.verdict is not Verdict.NOTICED
        ]
        lines.append(
            f"{counts[Verdict.NOTICED]} of {ran} noticed ({share:.1%}), "
            f"{counts[Verdict.STALE]} stale, {counts[Verdict.BROKEN]} broken, "
            f"{len(wanted) - sum(counts.values())} have not run"
        )
        return "\n".join(lines), ran == len(wanted) and share >= ENOUGH
