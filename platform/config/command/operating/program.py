"""A subcommand that operates a running platform: its options, its output and its exit code.

The code is 0 if the state is as wanted, whether or not something had to change; 1 if the platform
refuses or does not answer; 2 if the command itself is wrong. People read a table or a few lines,
programs read JSON.
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config import configuration
from config.command.operating.api_client import KEY, ApiClient, Misuse, Row, Trouble

# Title -> the field of a row, or the function that makes the cell.
Columns = Mapping[str, str | Callable[[Row], Any]]
_ENDS = "Ends with 0 when it is so, changed or not; 1: refused or away; 2: the command is wrong."
_ENVIRONMENT = "Reads FOREBAY_URL, {} (or …_FILE) and FOREBAY_TLS_CA."


class Result(NamedTuple):
    """The result of a command: `--json` prints `data`, people read `text`."""

    data: Any
    text: str


Run = Callable[[ApiClient, Namespace], Result]


class Program:
    """A subcommand such as `forebay engines …`, with one parser for each of its commands."""

    def __init__(self, name: str, does: str, *key_names: str) -> None:
        """`key_names` are variables with a key; the first that is set counts."""
        self._name, self._key_names = f"forebay {name}", key_names or (KEY,)
        epilog = f"{_ENVIRONMENT.format(' or '.join(self._key_names))} {_ENDS}"
        self._parser = ArgumentParser(self._name, description=does, epilog=epilog)
        self._commands = self._parser.add_subparsers(required=True, metavar="COMMAND")

    def shows(self, name: str, run: Run, does: str) -> ArgumentParser:
        parser: ArgumentParser = self._commands.add_parser(name, help=does, description=does)
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--plain-http", action="store_true", help="send the key without TLS, where it is safe"
        )
        parser.set_defaults(run=run)
        return parser

    def acts(self, name: str, run: Run, does: str) -> ArgumentParser:
        parser = self.shows(name, run, does)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )
        return parser

    def main(self, arguments: Sequence[str]) -> int:
        typed = self._parser.parse_args(arguments)
        try:
            configuration.apply(os.environ)
            plain, key = typed.plain_http, self._key_name()
            link = ApiClient(os.environ, in_clear=plain, key_name=key)
            result = typed.run(link, typed)
        except KeyError as missing:
            return self._refused(f"the answer has no {missing}: is it a Forebay of this version?")
        except (Trouble, ValueError) as problem:
            self._refused(str(problem))
            return 2 if isinstance(problem, Misuse | ValueError) else 1
        print_visibly(
            json.dumps(result.data, indent=2, ensure_ascii=False) if typed.json else result.text
        )
        return 0

    def _key_name(self) -> str:
        present = (name for name in self._key_names if os.environ.get(name, "").strip())
        return next(present, self._key_names[0])

    def _refused(self, why: str) -> int:
        print(f"{self._name}: {_visible(why)}", file=sys.stderr)
        return 1


def print_visibly(text: str) -> None:
    """Print all of it, or as much as its reader takes: the command has done its work."""
    try:
        print("\n".join(map(_visible, text.split("\n"))), flush=True)
    except BrokenPipeError:  # or Python would try once more as it ends, and complain
        with open(os.devnull, "w") as nobody:
            os.dup2(nobody.fileno(), sys.stdout.fileno())


# Options ---------------------------------------------------------------------------------------
def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object, or @FILE with one; a type of argparse."""
    try:
        parsed = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as problem:
        raise ArgumentTypeError(f"this is no JSON: {problem}") from None
    if not isinstance(parsed, dict):
        raise ArgumentTypeError("this is no JSON object")
    return parsed


def number_or(word: str) -> Callable[[str], int | str]:
    """Returns a type of argparse for a whole number or this word."""

    def parse(text: str) -> int | str:
        try:
            return text if text == word else int(text)
        except ValueError:
            raise ArgumentTypeError(f"a number, or {word}") from None

    return parse


def typed_fields(typed: Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Returns the fields that were given on the command line."""
    values = {name: getattr(typed, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


# Output ----------------------------------------------------------------------------------------
def table(rows: Iterable[Row], columns: Columns) -> Result:
    listed = list(rows)
    lines = [list(columns), *([_column(row, of) for of in columns.values()] for row in listed)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return Result(listed, text)


def fields(row: Row) -> Result:
    width = max(map(len, row))
    return Result(row, "\n".join(f"{name.ljust(width)}  {_cell(row[name])}" for name in row))


def outcome(noun: str, name: str, did: str, row: Any, differences: Iterable[str] = ()) -> Result:
    """Returns the result of an act. `did` is added, changed, unchanged and the like."""
    listed = list(differences)
    more = f" ({', '.join(listed)})" if listed else ""
    changed = not did.startswith("unchanged")
    data = {"changed": changed, "did": did, "differences": listed, noun: row}
    return Result(data, f"{noun} {name}: {did}{more}")


def differing(before: Row, after: Row) -> list[str]:
    """Returns `slots: 64 -> 128` for each field that both have with different values."""
    both = [name for name in before if name in after and before[name] != after[name]]
    return [f"{name}: {_cell(before[name])} -> {_cell(after[name])}" for name in both]


def _column(row: Row, of: str | Callable[[Row], Any]) -> str:
    value = row[of] if isinstance(of, str) else of(row)
    return _cell(", ".join(map(str, value)) if isinstance(value, list) else value)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return _visible(text)


def _visible(text: str) -> str:
    """Escape unprintable characters as JSON does: an engine's words could steer the terminal."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
