"""python -m bench.simulate [--tenants N] [--engines N] [--hours H] [--seed S] [--policy FILE]

A day of many tenants and engines in minutes: the queue's own scripts on a Valkey of the bench's
own, virtual engines and a virtual clock. A policy (weights, minimum shares, ageing: see
bench/simulate/policy.py) can so be tried before it meets people. Prints tables, and writes
figures to the file that `--out` names.
"""

import argparse
from pathlib import Path
from typing import Any

import msgspec

from bench.servers.without_platform import valkey_alone

DAY = {"tenants": int, "engines": int, "hours": float, "pools": int}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate")
    for name, kind in DAY.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--policy", type=Path, help="TOML; see bench/simulate/policy.py")
    parser.add_argument("--out", type=Path, help="writes OUT.json")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    wanted: dict[str, Any] = {name: getattr(options, name) for name in DAY}
    with valkey_alone() as url:
        import uvloop

        from bench.simulate.day import simulated
        from bench.simulate.policy import read
        from bench.simulate.report import section

        day = {name: value for name, value in wanted.items() if value is not None}
        policy = read(options.policy, **day)
        report = uvloop.run(simulated(policy, options.seed, url))
    print(section(report))
    if options.out:
        figures = msgspec.json.format(msgspec.json.encode(report), indent=1)
        options.out.with_suffix(".json").write_bytes(figures + b"\n")


if __name__ == "__main__":
    main()
