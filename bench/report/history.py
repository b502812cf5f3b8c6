"""One line per full run in bench/history.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.results import COLUMNS, Results
from bench.servers.child import REPOSITORY

FILE = REPOSITORY / "bench" / "history.csv"
ABOUT = ("date", "commit", "cpu", "cores", "litellm")
FULL_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """`about` has a run's date, commit, CPU, cores and LiteLLM; "" or None where not known."""

    about: Mapping[str, str]
    figures: Mapping[str, float | None]

    @property
    def run(self) -> tuple[str, str]:
        return self.about["date"], self.about["commit"]


def record(results: Results, file: Path = FILE) -> list[Path]:
    """Keep the line of a full run; returns the file where one was written.

    Full: Forebay and LiteLLM were measured as long as in the other lines' runs.
    """
    line = line_of(results)
    measured = line.figures["json_64_rps_x"] and line.figures["streams_64_rps_x"]
    if not measured or results.quick or results.rounds < FULL_ROUNDS:
        return []
    write([*(one for one in read(file) if one.run != line.run), line], file)
    return [file]


def line_of(results: Results) -> Line:
    machine = results.machine | {"litellm": results.litellm or ""}
    return Line({name: machine.get(name, "") for name in ABOUT}, results.key_figures())


def read(file: Path = FILE) -> list[Line]:
    """The oldest first. Raises ValueError where a column is missing or unknown."""
    if not file.exists():
        return []
    with file.open(newline="") as source:
        rows = csv.DictReader(source)
        if rows.fieldnames != [*ABOUT, *COLUMNS]:
            raise ValueError(f"{file.name}: its columns are not those of bench/report/results.py")
        return [_line(row) for row in rows]


def write(lines: Sequence[Line], file: Path = FILE) -> None:
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, [*ABOUT, *COLUMNS], lineterminator="\n")
        writer.writeheader()
        for line in lines:
            writer.writerow({**line.about, **{k: _cell(v) for k, v in line.figures.items()}})


def _line(row: Mapping[str, str]) -> Line:
    figures = {name: float(row[name]) if row[name] else None for name in COLUMNS}
    return Line({name: row[name] for name in ABOUT}, figures)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
