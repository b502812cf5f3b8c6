"""python -m bench.check: did a key ratio fall since the last line of bench/history.csv?

A short mock comparison of LiteLLM and Forebay. Exits with 1 where one fell by more than 15 %, and
with 125, which `git bisect run` skips, where the machine was too busy to tell.
"""

import argparse
import sys

from bench.check.verdict import inconclusive, slides, verdict
from bench.compare import comparison
from bench.compare.mock_targets import mock_targets
from bench.compare.ratios import JSON_64, STREAMS_64
from bench.figures.progress import exit_on_sigterm
from bench.report import history
from bench.report.key_figures import key_figures
from bench.report.results import Results
from bench.servers import machine

LOADS = [load for load in comparison.LOADS if load.name in (JSON_64, STREAMS_64)]
SKIP = 125


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
    fallen = slides(key_figures(now), last.figures)
    print(verdict(now, last, fallen))
    sys.exit(1 if fallen else 0)


def measure(rounds: int, seconds: float) -> Results:
    results = Results(machine.describe(), quick=True, rounds=rounds, seconds=seconds)
    with mock_targets(router=False) as running:
        targets = [target for target in running.targets if target.name != "direct"]
        results.litellm = running.versions["LiteLLM"]
        results.comparison = comparison.compare(running.mock, targets, rounds, seconds, LOADS)
    return results


if __name__ == "__main__":
    main()
