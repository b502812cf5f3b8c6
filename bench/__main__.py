"""python -m bench [--quick] [--only mock|engine|…] [--no-litellm] [--no-router] …"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.compare import comparison, engine, idle
from bench.compare.mock_targets import mock_targets
from bench.figures import machine
from bench.parts.catalogue import APART
from bench.report import files, page
from bench.report.results import Results
from bench.servers.child import REPOSITORY

PARTS = ("mock", "engine", *APART)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="short slices, for a first look")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given twice")
    parser.add_argument("--no-litellm", action="store_true")
    parser.add_argument("--no-router", action="store_true", help="without vllm-router")
    parser.add_argument("--no-forebay", action="store_true", help="the baseline alone")
    parser.add_argument("--rounds", type=int, default=None, help="3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, default=None, help="of a slice: 4, or 2")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    # Else a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    quick: bool = options.quick
    results = Results(
        machine=machine.describe(),
        quick=quick,
        rounds=options.rounds or (1 if quick else 3),
        seconds=options.seconds or (2.0 if quick else 4.0),
    )
    parts: Sequence[str] = options.only or PARTS
    # A short path: a PostgreSQL socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        # PostgreSQL may run as a user of its own, which must be able to come here.
        Path(folder).chmod(0o755)
        if "mock" in parts:
            with_mock(results, Path(folder), options)
        if "engine" in parts and not options.no_forebay:
            real = Path(folder) / "engine"
            real.mkdir()
            seconds = 5.0 if quick else 15.0
            results.engine = engine.measure(real, results.rounds, seconds)
    name = datetime.now(UTC).strftime("%Y-%m-%d") + "-quick" * quick
    name += "".join(f"-{part}" for part in options.only or ())
    paths = files.write(results, name)
    if not options.no_forebay:
        for part in (APART[name] for name in APART if name in parts):
            part.measure(results, options.rounds, options.seconds)
            paths = files.write(results, name)  # should one of those that follow fail
    print(page.page(results))
    comparison.tell("written: " + ", ".join(str(path.relative_to(REPOSITORY)) for path in paths))


def with_mock(results: Results, folder: Path, options: argparse.Namespace) -> None:
    others = {"litellm": not options.no_litellm, "router": not options.no_router}
    with mock_targets(folder, **others, forebay=not options.no_forebay) as running:
        results.litellm = running.versions.get("LiteLLM")
        results.router = running.versions.get("vllm-router")
        rounds, seconds = results.rounds, results.seconds
        results.comparison = comparison.compare(running.mock, running.targets, rounds, seconds)
        if not options.no_forebay:
            comparison.tell("the idle platform")
            results.idle = idle.measure(running.forebay)


if __name__ == "__main__":
    main()
