"""python -m bench [--quick] [--only mock|engine|…] [--no-litellm] [--no-router] …"""

import argparse
import subprocess
import sys
from datetime import UTC, datetime

from bench.compare import comparison, engine, idle
from bench.compare.mock_targets import mock_targets
from bench.figures import tell
from bench.parts.catalogue import PARTS, measure_apart
from bench.report import files, page
from bench.report.results import Results
from bench.servers import machine
from bench.servers.child import REPOSITORY, exit_on_sigterm

NAMES = ("mock", "engine", *PARTS)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="short slices, for a first look")
    parser.add_argument("--only", choices=NAMES, action="append", help="may be given twice")
    parser.add_argument("--no-litellm", action="store_true")
    parser.add_argument("--no-router", action="store_true", help="without vllm-router")
    parser.add_argument("--no-forebay", action="store_true", help="the baseline alone")
    parser.add_argument("--rounds", type=int, default=None, help="3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, default=None, help="of a slice: 4, or 2")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    exit_on_sigterm()
    quick: bool = options.quick
    results = Results(
        machine=machine.describe(),
        quick=quick,
        rounds=options.rounds or (1 if quick else 3),
        seconds=options.seconds or (2.0 if quick else 4.0),
    )
    names = options.only or NAMES
    if "mock" in names:
        measure_mock(results, options)
    if "engine" in names and not options.no_forebay:
        results.engine = engine.measure(results.rounds, 5.0 if quick else 15.0)
    file = datetime.now(UTC).strftime("%Y-%m-%d") + "-quick" * quick
    file += "".join(f"-{name}" for name in options.only or ())
    files.write(results, file)
    parts = [name for name in PARTS if name in names and not options.no_forebay]
    failed = measure_parts(results, parts, options, file)
    paths = files.write(results, file)
    print(page.page(results))
    tell("written: " + ", ".join(str(path.relative_to(REPOSITORY)) for path in paths))
    if failed:
        sys.exit(f"bench: not measured, for the reason above: {', '.join(failed)}")


def measure_parts(
    results: Results, names: list[str], options: argparse.Namespace, file: str
) -> list[str]:
    """Measure each part, and write what there is after each. Return those that failed."""
    failed = []
    for name in names:
        size = PARTS[name].size(quick=results.quick, rounds=options.rounds, seconds=options.seconds)
        try:
            results.parts[name] = measure_apart(name, size)
        except subprocess.CalledProcessError:
            failed.append(name)
        files.write(results, file)
    return failed


def measure_mock(results: Results, options: argparse.Namespace) -> None:
    others = {"litellm": not options.no_litellm, "router": not options.no_router}
    with mock_targets(**others, forebay=not options.no_forebay) as running:
        results.litellm = running.versions.get("LiteLLM")
        results.router = running.versions.get("vllm-router")
        rounds, seconds = results.rounds, results.seconds
        results.comparison = comparison.compare(running.mock, running.targets, rounds, seconds)
        if not options.no_forebay:
            tell("the idle platform")
            results.idle = idle.measure(running.targets[-1])


if __name__ == "__main__":
    main()
