"""python -m bench.parts PART [--json FILE] [options]: measures one part and prints its tables."""

import argparse
from pathlib import Path

import msgspec

from bench.figures.progress import exit_on_sigterm
from bench.parts.catalogue import PARTS


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts")
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, part in PARTS.items():
        command = commands.add_parser(name, help=part.title)
        for option, number in part.full.items():
            command.add_argument(f"--{option}", type=type(number), default=number)
        command.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    exit_on_sigterm()
    part = PARTS[options.part]
    report = part.measure(**{name: getattr(options, name) for name in part.full})
    print(part.section(report))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
