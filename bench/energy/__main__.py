"""python -m bench.energy [--day FILE] [--out FILE]

A day of a pool of modelled GPUs (power.py), once for each policy, with the decisions that Forebay
makes. Prints a table; `--out` writes the figures that docs/draw_energy.py draws.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.energy.day import Day, recorded
from bench.energy.report import BOUND, Result, compared, table
from inference.energy.consolidation import Rules


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.energy")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--engines", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.25, help="of all slots' time, on average")
    parser.add_argument("--full", type=float, default=Rules().full, help="FOREBAY_ENERGY_FULL")
    parser.add_argument("--slower", type=float, default=BOUND.slower, help="FOREBAY_ENERGY_SLOWER")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--day", type=Path, help="CSV: at_s, prompt_tokens, answer_tokens")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    day = replace(Day(), hours=options.hours, engines=options.engines, share=options.share)
    day = replace(day, seed=options.seed)
    requests = list(recorded(options.day)) if options.day else None
    results: list[Result] = compared(
        day, requests, Rules(options.full), msgspec.structs.replace(BOUND, slower=options.slower)
    )
    print(table(results))
    if options.out:
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


if __name__ == "__main__":
    main()
