"""The command line of `forebay`: the configuration file, a subcommand and its arguments."""

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from config.command.table import SUBCOMMANDS

_USAGE = 2  # argparse's exit code
_HELP = ("-h", "--help", "help")


def main() -> None:
    """Run the subcommand that was typed: the entry point of the installed script."""
    rest = _after_options(sys.argv[1:])
    if not rest or rest[0] in _HELP:
        print(_help())
        sys.exit(0 if rest else _USAGE)
    name, *arguments = rest
    if name not in SUBCOMMANDS:
        _refuse(f"there is no {name!r}{_nearest(name)}; `forebay help` lists what there is")
    sys.exit(importlib.import_module(SUBCOMMANDS[name].module).main(arguments))


def _after_options(typed: Sequence[str]) -> Sequence[str]:
    """Apply `--config FILE`, which is the same as FOREBAY_CONFIG, and return the rest."""
    while typed and typed[0].startswith("--config"):
        option, equals, file = typed[0].partition("=")
        if option != "--config" or not (equals or typed[1:]):
            _refuse("--config takes the path of a file")
        os.environ["FOREBAY_CONFIG"] = os.path.abspath(file if equals else typed[1])
        typed = typed[1 if equals else 2 :]
    if typed and typed[0] == "--version":
        return ["version", *typed[1:]]
    return typed


def _help() -> str:
    lines = ["usage: forebay [--config FILE] SUBCOMMAND", ""]
    for name, each in SUBCOMMANDS.items():
        lines.append(f"  {f'{name} {each.takes}':<24}{each.does}")
    return "\n".join([*lines, "", "FOREBAY_CONFIG=FILE is the same as --config FILE."])


def _nearest(name: str) -> str:
    near = get_close_matches(name, SUBCOMMANDS, 1)
    return f" (do you mean {near[0]!r}?)" if near else ""


def _refuse(why: str) -> NoReturn:
    print(f"forebay: {why}", file=sys.stderr)
    sys.exit(_USAGE)
