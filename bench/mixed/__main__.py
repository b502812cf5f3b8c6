"""python -m bench.mixed [--share S] [--engines N] [--hours H] [--seed S] [--out FILE]

A day of real-time requests and jobs on one fleet, against a fleet that serves alone and GPUs for
the jobs beside it. The queue's own scripts order the requests, and the product's own decisions
lend engines and take them back. Prints a table; `--out` writes the figures.
"""

import argparse
import os
from dataclasses import fields
from pathlib import Path

import msgspec
import uvloop

from bench.servers.child import exit_on_sigterm
from bench.servers.without_platform import django_on_own_servers

OPTIONS = {"engines": int, "slots": int, "hours": float, "share": float, "jobs": int, "seed": int}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mixed")
    for name, kind in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args())
    exit_on_sigterm()
    with django_on_own_servers(database=False):
        from bench.mixed.day import MixedDay, played
        from bench.mixed.report import section

        known = {each.name for each in fields(MixedDay)}
        chosen = {n: value for n, value in options.items() if n in known and value is not None}
        report = uvloop.run(played(MixedDay(**chosen), os.environ["REDIS_URL"]))
    print(section(report))
    if out := options["out"]:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


if __name__ == "__main__":
    main()
