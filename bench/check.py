"""python -m bench.check: did a key ratio fall since the last line of bench/history.csv?

A short mock comparison of LiteLLM and Forebay. Exits with 1 where one fell by more than 15 %, and
with 125, which `git bisect run` skips, where the machine was too busy to tell.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.compare import comparison
from bench.compare.comparison import JSON_64, STREAMS_64, Row
from bench.compare.mock_targets import mock_targets
from bench.report import history
from bench.report.history import Line
from bench.report.results import AIMS, Results
from bench.servers import machine
from bench.servers.child import exit_on_sigterm

LOADS = [load for load in comparison.LOADS if load.name in (JSON_64, STREAMS_64)]
SKIP = 125
TOLERANCE = 0.15
BAD = 0.1  # of LiteLLM's answers, from where on its figures say nothing
# Against LiteLLM beside us, so that another machine or a busy one changes them little.
COLUMNS = ("json_64_rps_x", "json_64_cpu_x", "streams_64_rps_x", "streams_64_cpu_x")
RATIOS = {column: AIMS[column][0] for column in COLUMNS}
WHAT_TO_DO = """\
Run it once more on a quiet machine, and at the commit of that line as well: ratios differ from one
machine to another. If the slide stays, find its commit:
    git bisect run .venv/bin/python -m bench.check
If it is worth its price, say so in bench/notebook/, and let `make bench` add a new line."""


@dataclass(frozen=True, slots=True)
class Slide:
    """A ratio that fell from `before` to `now`."""

    column: str
    before: float
    now: float

    def __str__(self) -> str:
        less = 1 - self.now / self.before
        return f"{RATIOS[self.column]}: {self.now:.3g} x, {less:.0%} under {self.before:.3g} x"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.check")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a slice")
    options = parser.parse_args()
    exit_on_sigterm()
    last = history.read()[-1]
    now = measure(options.rounds, options.seconds)
    if words := inconclusive(now.comparison):
        print(words)
        sys.exit(SKIP)
    fallen = slides(now.key_figures(), last.figures)
    print(verdict(now, last, fallen))
    sys.exit(1 if fallen else 0)


def measure(rounds: int, seconds: float) -> Results:
    results = Results(machine.describe(), quick=True, rounds=rounds, seconds=seconds)
    with mock_targets(router=False) as running:
        targets = [target for target in running.targets if target.name != "direct"]
        results.litellm = running.versions["LiteLLM"]
        results.comparison = comparison.compare(running.mock, targets, rounds, seconds, LOADS)
    return results


def slides(now: Mapping[str, float | None], before: Mapping[str, float | None]) -> list[Slide]:
    """Ratios that fell by more than the tolerance; one that was not measured now counts as 0."""
    both = [(column, before.get(column), now.get(column) or 0.0) for column in RATIOS]
    return [
        Slide(column, old, new)
        for column, old, new in both
        if old is not None and new < old * (1 - TOLERANCE)
    ]


def inconclusive(rows: Sequence[Row]) -> str:
    """The reason why the figures say nothing; empty where they do."""
    for row in rows:
        if row.target == "LiteLLM" and row.bad > BAD * row.all:
            failed = f"{row.bad} of {row.all} answers of LiteLLM were bad or late"
            return f"{row.load}: {failed}. Nothing to compare with: is the machine busy?"
    return ""


def verdict(now: Results, last: Line, fallen: list[Slide]) -> str:
    figures, about = now.key_figures(), last.about
    on = f"{about['cores']} cores of {about['cpu']}" if about["cpu"] else "a machine not noted"
    lines = [f"Against {about['commit']} ({about['date']}, {on}, LiteLLM {about['litellm']}):"]
    if now.litellm != about["litellm"]:
        lines.append(f"LiteLLM is {now.litellm} now, which changes the ratios too.")
    for column, words in RATIOS.items():
        then = _times(last.figures.get(column))
        lines.append(f"  {_times(figures[column])}  was {then}  {words}")
    if fallen:
        lines += [*(f"SLIDE: {slide}" for slide in fallen), WHAT_TO_DO]
    else:
        lines.append(f"No key ratio fell by more than {TOLERANCE:.0%}.")
    return "\n".join(lines)


def _times(value: float | None) -> str:
    return "    -  " if value is None else f"{value:5.2f} x"


if __name__ == "__main__":
    main()
