"""python -m bench.simulate [--tenants N] [--engines N] [--hours H] [--seed S] [--policy FILE]

A day of many tenants and engines in minutes: the queue's own scripts on a Valkey of the bench's
own, virtual engines and a virtual clock. A policy (weights, minimum shares, ageing: see
bench/simulate/policy.py) can so be tried before it meets people. Prints tables, and writes
figures to the file that `--out` names.
"""

import argparse
import os
from pathlib import Path

import msgspec
import uvloop

from bench.servers.child import exit_on_sigterm
from bench.servers.without_platform import django_on_own_servers

DAY = {"tenants": int, "engines": int, "hours": float, "pools": int}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate")
    for name, kind in DAY.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--policy", type=Path, help="TOML; see bench/simulate/policy.py")
    parser.add_argument("--out", type=Path, help="writes OUT.json")
    options = parser.parse_args()
    day = {name: value for name in DAY if (value := getattr(options, name)) is not None}
    exit_on_sigterm()
    with django_on_own_servers(database=False):
        from bench.simulate.day import simulated
        from bench.simulate.policy import read
        from bench.simulate.report import section

        policy = read(options.policy, **day)
        report = uvloop.run(simulated(policy, options.seed, os.environ["REDIS_URL"]))
    print(section(report))
    if options.out:
        figures = msgspec.json.format(msgspec.json.encode(report), indent=1)
        options.out.with_suffix(".json").write_bytes(figures + b"\n")


if __name__ == "__main__":
    main()
