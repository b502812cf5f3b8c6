"""A subcommand that operates a running platform: its options and its exit code.

The code is 0 if the state is as wanted, whether or not something had to change; 1 if the platform
refuses or does not answer; 2 if the command itself is wrong.
"""

import argparse
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from config import configuration
from config.command.operating.api_client import Link, Misuse, Trouble
from config.command.operating.output import Result, printed, visible

Run = Callable[[Link, Namespace], Result]
_ENDS = "Ends with 0 when it is so, changed or not; 1: refused or away; 2: the command is wrong."
_ENVIRONMENT = "Reads FOREBAY_URL, FOREBAY_OPERATOR_KEY (or …_FILE) and FOREBAY_TLS_CA."


class Program:
    """A subcommand such as `forebay engines …`, with one parser for each of its commands."""

    def __init__(self, name: str, does: str) -> None:
        epilog = f"{_ENVIRONMENT} {_ENDS}"
        self._name = f"forebay {name}"
        self._parser = ArgumentParser(self._name, description=does, epilog=epilog)
        self._commands = self._parser.add_subparsers(required=True, metavar="COMMAND")

    def shows(self, name: str, run: Run, does: str) -> ArgumentParser:
        return self._command(name, run, does)

    def acts(self, name: str, run: Run, does: str) -> ArgumentParser:
        parser = self._command(name, run, does)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )
        return parser

    def main(self, arguments: Sequence[str]) -> int:
        typed = self._parser.parse_args(arguments)
        try:
            configuration.apply(os.environ)
            link = Link.of(os.environ, in_clear=typed.plain_http)
            result = typed.run(link, typed)
        except KeyError as missing:
            return self._refused(f"the answer has no {missing}: is it a Forebay of this version?")
        except (Trouble, ValueError) as problem:
            self._refused(str(problem))
            return 2 if isinstance(problem, Misuse | ValueError) else 1
        _print(printed(result, as_json=typed.json))
        return 0

    def _refused(self, why: str) -> int:
        print(f"{self._name}: {visible(why)}", file=sys.stderr)
        return 1

    def _command(self, name: str, run: Run, does: str) -> ArgumentParser:
        parser: ArgumentParser = self._commands.add_parser(name, help=does, description=does)
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--plain-http", action="store_true", help="send the key without TLS, where it is safe"
        )
        parser.set_defaults(run=run)
        return parser


def _print(text: str) -> None:
    """Print all of it, or as much as its reader takes: the command has done its work."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # or Python would try once more as it ends, and complain
        with open(os.devnull, "w") as nobody:
            os.dup2(nobody.fileno(), sys.stdout.fileno())


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object, or @FILE with one; a type of argparse."""
    try:
        parsed = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as problem:
        raise argparse.ArgumentTypeError(f"this is no JSON: {problem}") from None
    if not isinstance(parsed, dict):
        raise argparse.ArgumentTypeError("this is no JSON object")
    return parsed


def number_or(word: str) -> Callable[[str], int | str]:
    """Returns a type of argparse for a whole number or this word."""

    def parse(text: str) -> int | str:
        if text == word:
            return text
        try:
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"a number, or {word}") from None

    return parse


def typed_fields(typed: Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Returns the fields that were given on the command line."""
    values = {name: getattr(typed, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}
