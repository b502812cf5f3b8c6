"""python -m bench.check: did a key ratio fall since the last line of bench/history.csv?

A short mock comparison of LiteLLM and Forebay. Exits with 1 where one fell by more than 15 %, and
with 125, which `git bisect run` skips, where the machine was too busy to tell.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.check.slides import RATIOS, TOLERANCE, Slide, slides
from bench.compare import comparison
from bench.compare.compared import JSON_64, STREAMS_64
from bench.compare.comparison import Row
from bench.compare.mock_targets import mock_targets
from bench.figures import machine
from bench.report import history
from bench.report.history import Line
from bench.report.key_figures import key_figures
from bench.report.results import Results

LOADS = [load for load in comparison.LOADS if load.name in (JSON_64, STREAMS_64)]
SKIP = 125
BAD = 0.1  # of LiteLLM's answers, from where on its figures say nothing
WHAT_TO_DO = """\
Run it once more on a quiet machine. If the slide stays, find its commit:
    git bisect run .venv/bin/python -m bench.check
If it is worth its price, say so in bench/notebook/, and let `make bench` add a new line."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.check")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a slice")
    options = parser.parse_args()
    # Else a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    last = history.read()[-1]
    now = measured(options.rounds, options.seconds)
    if words := inconclusive(now.comparison):
        print(words)
        sys.exit(SKIP)
    found = slides(key_figures(now), last.figures)
    print(verdict(now, last, found))
    sys.exit(1 if found else 0)


def measured(rounds: int, seconds: float) -> Results:
    results = Results(machine.describe(), quick=True, rounds=rounds, seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        # PostgreSQL may run as a user of its own, which must be able to come here.
        Path(folder).chmod(0o755)
        with mock_targets(Path(folder), router=False) as running:
            targets = [target for target in running.targets if target.name != "direct"]
            results.litellm = running.versions["LiteLLM"]
            results.comparison = comparison.compare(running.mock, targets, rounds, seconds, LOADS)
    return results


def inconclusive(rows: Sequence[Row]) -> str:
    """Why the figures say nothing; empty where they do."""
    for row in rows:
        if row.target == "LiteLLM" and row.bad > BAD * row.all:
            failed = f"{row.bad} of {row.all} answers of LiteLLM were bad or late"
            return f"{row.load}: {failed}. Nothing to compare with: is the machine busy?"
    return ""


def verdict(now: Results, last: Line, found: list[Slide]) -> str:
    figures = key_figures(now)
    rows = [
        f"  {_times(figures[column])}  was {_times(last.figures.get(column))}  {words}"
        for column, words in RATIOS.items()
    ]
    about = last.about
    on = f"{about['cores']} cores of {about['cpu']}" if about["cpu"] else "a machine not noted"
    head = f"Against {about['commit']} ({about['date']}, {on}, LiteLLM {about['litellm']}):"
    if now.litellm != about["litellm"]:
        head += f"\nLiteLLM is {now.litellm} now, which changes the ratios too."
    if not found:
        return "\n".join([head, *rows, f"No key ratio fell by more than {TOLERANCE:.0%}."])
    fell = [f"SLIDE: {slide}" for slide in found]
    return "\n".join([head, *rows, *fell, WHAT_TO_DO])


def _times(value: float | None) -> str:
    return "    -  " if value is None else f"{value:5.2f} x"


if __name__ == "__main__":
    main()
