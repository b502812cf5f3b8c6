"""python -m bench.mixed [--share S] [--engines N] [--hours H] [--spare KIND] [--out FILE]

A day of real-time requests and jobs on one fleet, against a fleet that serves alone and GPUs for
the jobs beside it. The queue's own scripts order the requests, and the product's own decisions
lend engines and take them back. Prints a table; `--out` writes the figures. `--spare`: as in the
`lending` of a pool.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.servers.child import exit_on_sigterm
from bench.servers.without_platform import django_on_own_servers
from inference.energy.consolidation import BURST, Rules

OPTIONS = {"engines": int, "slots": int, "hours": float, "share": float, "jobs": int, "seed": int}
RULES = {"full": float, "margin": float, "hold_s": float}
SPARES: dict[str, dict[str, Any]] = {
    "one": {"spare": 1},
    "none": {"spare": 0},
    "auto": {"spare": 0, "burst": BURST},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mixed")
    for name, kind in (OPTIONS | RULES).items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--spare", choices=SPARES, default="one")
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args())
    exit_on_sigterm()
    with django_on_own_servers(database=False):
        from bench.mixed.day import MixedDay, played
        from bench.mixed.report import section

        rules = Rules(**_chosen(options, RULES), **SPARES[options["spare"]])
        day = MixedDay(**_chosen(options, OPTIONS), rules=rules)
        report = uvloop.run(played(day, os.environ["REDIS_URL"]))
    print(section(report))
    if out := options["out"]:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def _chosen(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if options[name] is not None}


if __name__ == "__main__":
    main()
