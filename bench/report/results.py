"""The figures of one run of the bench."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.compare.comparison import Row
from bench.compare.engine import EngineRow
from bench.compare.idle import IdleReport
from bench.figures.aims import Aim
from bench.parts.catalogue import PARTS
from bench.report import comparison_aims


@dataclass(slots=True)
class Results:
    """Everything that was measured; `parts` has the reports by name of their part."""

    machine: dict[str, str]
    quick: bool
    rounds: int
    seconds: float
    litellm: str | None = None
    router: str | None = None
    comparison: list[Row] = field(default_factory=list)
    idle: IdleReport | None = None
    engine: list[EngineRow] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)

    def aims(self) -> list[Aim]:
        return list(self._aims())

    def _aims(self) -> Iterator[Aim]:
        if self.comparison:
            yield from comparison_aims.of_comparison(self.comparison)
        if self.idle is not None:
            yield from comparison_aims.of_idle(self.idle)
        if self.engine:
            yield from comparison_aims.of_engine(self.engine)
        for name, part in PARTS.items():
            if name in self.parts:
                yield from part.aims(self.parts[name])

    def as_json(self) -> dict[str, Any]:
        """Each part has a field of its own, as in the files of earlier runs."""
        figures = asdict(self)
        reports = figures.pop("parts")
        by_field = {name.replace("-", "_"): report for name, report in reports.items()}
        aims = [asdict(aim) | {"met": aim.met} for aim in self.aims()]
        return figures | by_field | {"aims": aims}
