"""One line per full run in bench/history.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare.ratios import JSON_64, STREAMS_64, Ratios
from bench.report.key_figures import COLUMNS, key_figures
from bench.report.results import Results
from bench.servers.child import REPOSITORY

FILE = REPOSITORY / "bench" / "history.csv"
ABOUT = ("date", "commit", "cpu", "cores", "litellm")
FULL_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """`about` has a run's date, commit, CPU, cores and LiteLLM; "" or None where not known."""

    about: Mapping[str, str]
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def run(self) -> tuple[str, str]:
        return self.about["date"], self.about["commit"]

    def cells(self) -> list[str]:
        known = [self.about[name] for name in ABOUT]
        return known + [_cell(self.figures.get(name)) for name in COLUMNS]


def record(results: Results, file: Path = FILE) -> list[Path]:
    """Keep the line of a full run; returns the file where one was written."""
    if not is_full(results):
        return []
    line = line_of(results)
    lines = [one for one in read(file) if one.run != line.run] + [line]
    write(lines, file)
    return [file]


def is_full(results: Results) -> bool:
    """Returns True where Forebay and LiteLLM were measured as long as in the other lines' runs."""
    mock = Ratios(results.comparison)
    measured = mock.faster(JSON_64) is not None and mock.faster(STREAMS_64) is not None
    return measured and not results.quick and results.rounds >= FULL_ROUNDS


def line_of(results: Results) -> Line:
    machine = results.machine
    about = {name: machine.get(name, "") for name in ABOUT} | {"litellm": results.litellm or ""}
    return Line(about, key_figures(results))


def read(file: Path = FILE) -> list[Line]:
    """The oldest first. Raises ValueError where a column is missing or unknown."""
    if not file.exists():
        return []
    with file.open(newline="") as source:
        head, *rows = csv.reader(source)
    if head != [*ABOUT, *COLUMNS]:
        raise ValueError(f"{file.name}: its columns are not those of bench/report/key_figures.py")
    return [_line(dict(zip(head, row, strict=True))) for row in rows]


def write(lines: Sequence[Line], file: Path = FILE) -> None:
    with file.open("w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow([*ABOUT, *COLUMNS])
        writer.writerows(line.cells() for line in lines)


def _line(row: Mapping[str, str]) -> Line:
    figures = {name: float(row[name]) if row[name] else None for name in COLUMNS}
    return Line({name: row[name] for name in ABOUT}, figures)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
