"""python -m bench.parts PART [--json FILE] [options]: measures one part and prints its tables."""

import argparse
from pathlib import Path

import msgspec

from bench.parts.catalogue import PARTS
from bench.servers.child import exit_on_sigterm


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parts")
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, part in PARTS.items():
        command = commands.add_parser(name, help=part.title)
        for option, number in part.full.items():
            command.add_argument(f"--{option}", type=type(number), default=number)
        command.add_argument("--json", type=Path, help="where to write the figures")
        command.add_argument("--summary", type=Path, help="where to write all of it, as JSON")
    options = parser.parse_args()
    exit_on_sigterm()
    part = PARTS[options.part]
    summary = part.measure({name: getattr(options, name) for name in part.full})
    print(summary.section)
    for file, content in ((options.json, summary.figures), (options.summary, summary)):
        if file:
            file.write_bytes(msgspec.json.encode(content))


if __name__ == "__main__":
    main()
