"""python -m bench.parts.growth.picture FILE.json > FILE.svg: draws what `--json` has written."""

import sys
from pathlib import Path

import msgspec

from bench import bars
from bench.bars import Bar, Chart
from bench.parts.growth.cost import GrowthReport

TITLE = "CPU ms of a request, 64 at once (less is better)"


def drawn(report: GrowthReport, footer: str) -> str:
    steps = [Bar(row.load, f"with {row.target}", row.cpu_ms or 0.0) for row in report.rows]
    return bars.drawn([Chart(TITLE, steps)], footer)


if __name__ == "__main__":
    report = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=GrowthReport)
    print(drawn(report, f"slices of {report.seconds:g} s on two cores"), end="")
